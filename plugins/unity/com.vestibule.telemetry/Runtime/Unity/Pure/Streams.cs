namespace Vestibule.Unity
{
    /// <summary>Stream numbers, the same in all plugins of Vestibule, and other numbers that they share.</summary>
    public static class Streams
    {
        /// <summary>Pose of the head, tracker 0.</summary>
        public const ushort Head = 0;

        /// <summary>Pose of the left controller, tracker 1.</summary>
        public const ushort Left = 1;

        /// <summary>Pose of the right controller, tracker 2.</summary>
        public const ushort Right = 2;

        /// <summary>Both eyes.</summary>
        public const ushort Gaze = 3;

        /// <summary>Joints of the left hand.</summary>
        public const ushort LeftHand = 4;

        /// <summary>Joints of the right hand.</summary>
        public const ushort RightHand = 5;

        /// <summary>Weights of the face.</summary>
        public const ushort Face = 6;

        /// <summary>What was played, all targets.</summary>
        public const ushort Haptic = 7;

        /// <summary>Buttons of both controllers.</summary>
        public const ushort Buttons = 8;

        /// <summary>Markers.</summary>
        public const ushort Markers = 9;

        /// <summary>Descriptions of streams.</summary>
        public const ushort Info = 10;

        /// <summary>Joints of the body as poses, tracker 16 + joint.</summary>
        public const ushort Body = 11;

        /// <summary>First stream of the app's own.</summary>
        public const ushort FirstOwn = 12;

        /// <summary>Last stream of the app's own.</summary>
        public const ushort LastOwn = 63;

        /// <summary>Tracker of the first joint of a body.</summary>
        public const byte FirstJoint = 16;

        /// <summary>Code of the marker that the adapter writes when the tracking origin moved. Own codes stay below.</summary>
        public const ushort RecentredCode = 65000;

        /// <summary>Its text.</summary>
        public const string RecentredText = "tracking origin moved";
    }
}
