using System;

namespace Vestibule.Unity
{
    /// <summary>In which axes an app hands over gaze.</summary>
    public enum GazeAxes
    {
        /// <summary>OpenXR: right-handed, -Z forward, metres.</summary>
        OpenXr,

        /// <summary>Unity: left-handed, +Z forward, metres.</summary>
        Unity,

        /// <summary>SRanipal: +X to the user's left, +Z forward, millimetres.</summary>
        SRanipal,
    }

    /// <summary>One eye as an SDK tells it. What is not known keeps its validity bit cleared.</summary>
    public struct EyeSample
    {
        /// <summary>Bits of <see cref="EyeFlags"/>; 0 to 4 in SRanipal's order.</summary>
        public ushort Flags;

        /// <summary>Where the eye is, in head space and the sample's axes.</summary>
        public float OriginX, OriginY, OriginZ;

        /// <summary>Where it looks: a unit vector in head space and the sample's axes.</summary>
        public float DirectionX, DirectionY, DirectionZ;

        /// <summary>Diameter in millimetres, in every system of axes.</summary>
        public float PupilMm;

        /// <summary>0 closed .. 1 open.</summary>
        public float Openness;
    }

    /// <summary>
    /// Both eyes at one moment, as a vendor's SDK tells them. A plain value: fill it, hand it to
    /// <c>VestibuleTelemetry.Gaze</c>; <see cref="Axes"/> says what the numbers mean.
    /// </summary>
    public struct GazeSample
    {
        /// <summary>The system of axes of all origins and directions.</summary>
        public GazeAxes Axes;

        /// <summary>Device time of the capture in nanoseconds; 0 takes the moment of the call.</summary>
        public long TimeNs;

        /// <summary>The tracker's own frame number; 0 if it has none.</summary>
        public uint DeviceSeq;

        /// <summary>The left eye. Its flags also hold the bits of the combined values.</summary>
        public EyeSample Left;

        /// <summary>The right eye.</summary>
        public EyeSample Right;

        /// <summary>Where the combined ray begins.</summary>
        public float CombinedOriginX, CombinedOriginY, CombinedOriginZ;

        /// <summary>Where it goes.</summary>
        public float CombinedDirectionX, CombinedDirectionY, CombinedDirectionZ;

        /// <summary>Distance of the point looked at; NaN if unknown.</summary>
        public float VergenceM;

        /// <summary>0..1; NaN if unknown.</summary>
        public float Confidence;

        /// <summary>A sample in which nothing is known.</summary>
        public static GazeSample Unknown(GazeAxes axes) =>
            new GazeSample { Axes = axes, VergenceM = float.NaN, Confidence = float.NaN };

        /// <summary>Writes the record, 112 bytes.</summary>
        /// <param name="into">At least 112 bytes.</param>
        /// <param name="tNs">Moment of capture.</param>
        public void Write(Span<byte> into, long tNs)
        {
            Records.Gaze(
                into,
                tNs,
                DeviceSeq,
                Of(Left, true),
                Of(Right, false),
                Place(CombinedOriginX, CombinedOriginY, CombinedOriginZ),
                Direction(CombinedDirectionX, CombinedDirectionY, CombinedDirectionZ),
                VergenceM,
                Confidence);
        }

        private Eye Of(in EyeSample eye, bool left)
        {
            ushort flags = eye.Flags;
            // SDKs say "success" and give 0 or -1 where they saw no pupil; a direction of no length is none either.
            if (!(eye.PupilMm > 0f))
            {
                flags &= unchecked((ushort)~EyeFlags.PupilValid);
            }
            if (!(eye.Openness >= 0f))
            {
                flags &= unchecked((ushort)~EyeFlags.OpennessValid);
            }
            if (None(eye.DirectionX, eye.DirectionY, eye.DirectionZ))
            {
                flags &= unchecked((ushort)~EyeFlags.DirectionValid);
            }
            if (left && None(CombinedDirectionX, CombinedDirectionY, CombinedDirectionZ))
            {
                flags &= unchecked((ushort)~EyeFlags.CombinedDirectionValid);
            }
            return new Eye(
                flags,
                Place(eye.OriginX, eye.OriginY, eye.OriginZ),
                Direction(eye.DirectionX, eye.DirectionY, eye.DirectionZ),
                eye.PupilMm,
                eye.Openness);
        }

        private Vec3 Place(float x, float y, float z) =>
            Axes == GazeAxes.SRanipal ? Vestibule.Axes.SRanipalMillimetres(x, y, z) : Direction(x, y, z);

        private Vec3 Direction(float x, float y, float z)
        {
            switch (Axes)
            {
                case GazeAxes.SRanipal: return Vestibule.Axes.SRanipalVector(x, y, z);
                case GazeAxes.Unity: return Vestibule.Axes.UnityVector(x, y, z);
                default: return new Vec3(x, y, z);
            }
        }

        private static bool None(float x, float y, float z) => x == 0f && y == 0f && z == 0f;
    }
}
