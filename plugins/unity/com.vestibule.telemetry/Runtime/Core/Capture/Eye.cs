namespace Vestibule
{
    /// <summary>One eye of a gaze record, in head space of OpenXR.</summary>
    public readonly struct Eye
    {
        /// <summary>Makes one.</summary>
        /// <param name="flags">Of <see cref="EyeFlags"/>.</param>
        /// <param name="origin">Metres.</param>
        /// <param name="direction">Unit vector.</param>
        /// <param name="pupilMm">Diameter in millimetres.</param>
        /// <param name="openness">0 closed .. 1 open.</param>
        public Eye(ushort flags, in Vec3 origin, in Vec3 direction, float pupilMm, float openness)
        {
            Flags = flags;
            Origin = origin;
            Direction = direction;
            PupilMm = pupilMm;
            Openness = openness;
        }

        /// <summary>Of <see cref="EyeFlags"/>.</summary>
        public ushort Flags { get; }

        /// <summary>Metres.</summary>
        public Vec3 Origin { get; }

        /// <summary>Unit vector.</summary>
        public Vec3 Direction { get; }

        /// <summary>Millimetres.</summary>
        public float PupilMm { get; }

        /// <summary>0..1.</summary>
        public float Openness { get; }
    }

    /// <summary>One joint of a hand record.</summary>
    public readonly struct Joint
    {
        /// <summary>Makes one.</summary>
        /// <param name="flags">Bits 0 to 3 of <see cref="PoseFlags"/>.</param>
        /// <param name="position">Metres.</param>
        /// <param name="orientation">Unit quaternion.</param>
        /// <param name="radiusM">Metres.</param>
        public Joint(uint flags, in Vec3 position, in Quat orientation, float radiusM)
        {
            Flags = flags;
            Position = position;
            Orientation = orientation;
            RadiusM = radiusM;
        }

        /// <summary>Bits 0 to 3 of <see cref="PoseFlags"/>.</summary>
        public uint Flags { get; }

        /// <summary>Metres.</summary>
        public Vec3 Position { get; }

        /// <summary>Unit quaternion.</summary>
        public Quat Orientation { get; }

        /// <summary>Metres.</summary>
        public float RadiusM { get; }
    }
}
