namespace Vestibule
{
    /// <summary>Three numbers: a position in metres, a direction or a velocity.</summary>
    public readonly struct Vec3
    {
        /// <summary>Not known: NaN three times.</summary>
        public static readonly Vec3 Unknown = new Vec3(float.NaN, float.NaN, float.NaN);

        /// <summary>Makes one.</summary>
        public Vec3(float x, float y, float z)
        {
            X = x;
            Y = y;
            Z = z;
        }

        /// <summary>First number.</summary>
        public float X { get; }

        /// <summary>Second number.</summary>
        public float Y { get; }

        /// <summary>Third number.</summary>
        public float Z { get; }

        internal bool IsFinite => Numbers.IsFinite(X) && Numbers.IsFinite(Y) && Numbers.IsFinite(Z);
    }

    /// <summary>A rotation, x y z w; q and -q are the same rotation.</summary>
    public readonly struct Quat
    {
        /// <summary>Not known: NaN four times.</summary>
        public static readonly Quat Unknown = new Quat(float.NaN, float.NaN, float.NaN, float.NaN);

        /// <summary>Makes one.</summary>
        public Quat(float x, float y, float z, float w)
        {
            X = x;
            Y = y;
            Z = z;
            W = w;
        }

        /// <summary>First number.</summary>
        public float X { get; }

        /// <summary>Second number.</summary>
        public float Y { get; }

        /// <summary>Third number.</summary>
        public float Z { get; }

        /// <summary>Fourth number, the real part.</summary>
        public float W { get; }

        internal bool IsFinite =>
            Numbers.IsFinite(X) && Numbers.IsFinite(Y) && Numbers.IsFinite(Z) && Numbers.IsFinite(W);
    }
}
