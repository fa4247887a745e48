namespace Vestibule
{
    /// <summary>Flags of a pose and of a hand's joints. <c>Valid</c>: may be used; <c>Tracked</c>: measured, not inferred.</summary>
    public static class PoseFlags
    {
        /// <summary>The position may be used.</summary>
        public const ushort PositionValid = 1 << 0;

        /// <summary>The orientation may be used.</summary>
        public const ushort OrientationValid = 1 << 1;

        /// <summary>The position was measured.</summary>
        public const ushort PositionTracked = 1 << 2;

        /// <summary>The orientation was measured.</summary>
        public const ushort OrientationTracked = 1 << 3;

        /// <summary>The linear velocity may be used.</summary>
        public const ushort LinearVelocityValid = 1 << 4;

        /// <summary>The angular velocity may be used.</summary>
        public const ushort AngularVelocityValid = 1 << 5;

        /// <summary>For a time later than the capture.</summary>
        public const ushort Predicted = 1 << 6;

        /// <summary>The same as before, because the source gave nothing new.</summary>
        public const ushort Held = 1 << 7;
    }

    /// <summary>Flags of each eye; bits 0 to 4 have SRanipal's order.</summary>
    public static class EyeFlags
    {
        /// <summary>The origin may be used.</summary>
        public const ushort OriginValid = 1 << 0;

        /// <summary>The direction may be used.</summary>
        public const ushort DirectionValid = 1 << 1;

        /// <summary>The pupil's diameter may be used.</summary>
        public const ushort PupilValid = 1 << 2;

        /// <summary>The openness may be used.</summary>
        public const ushort OpennessValid = 1 << 3;

        /// <summary>The sensor sees the eye where it should be.</summary>
        public const ushort SensorPositionValid = 1 << 4;

        /// <summary>The eye blinks.</summary>
        public const ushort Blink = 1 << 5;

        /// <summary>Where the quality begins: 0 unknown, 1 poor, 2 fair, 3 good, shifted by this.</summary>
        public const int QualityShift = 6;

        /// <summary>Left eye only: the combined origin may be used.</summary>
        public const ushort CombinedOriginValid = 1 << 8;

        /// <summary>Left eye only: the combined direction may be used.</summary>
        public const ushort CombinedDirectionValid = 1 << 9;
    }
}
