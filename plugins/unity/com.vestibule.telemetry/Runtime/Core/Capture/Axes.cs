namespace Vestibule
{
    /// <summary>
    /// From an engine's axes to those of OpenXR (right-handed, +X right, +Y up, -Z forward), as SPEC, "Axes". Only signs
    /// change, so nothing is rounded.
    /// </summary>
    public static class Axes
    {
        /// <summary>Position, linear velocity or direction of Unity (left-handed, +Z forward).</summary>
        public static Vec3 UnityVector(float x, float y, float z) => new Vec3(x, y, -z);

        /// <summary>Angular velocity of Unity, rad/s: an axial vector, mirrored the other way than a position.</summary>
        public static Vec3 UnityAngular(float x, float y, float z) => new Vec3(-x, -y, z);

        /// <summary>Quaternion of Unity.</summary>
        public static Quat UnityRotation(float x, float y, float z, float w) => new Quat(-x, -y, z, w);

        /// <summary>Direction of SRanipal (+X to the user's left, +Z forward).</summary>
        public static Vec3 SRanipalVector(float x, float y, float z) => new Vec3(-x, y, -z);

        /// <summary>Position of SRanipal, in millimetres; gives metres.</summary>
        public static Vec3 SRanipalMillimetres(float x, float y, float z) =>
            new Vec3((float)(-x / 1000.0), (float)(y / 1000.0), (float)(-z / 1000.0));

        /// <summary>Angular velocity in SRanipal's axes: both frames are right-handed, so it turns as a position does.</summary>
        public static Vec3 SRanipalAngular(float x, float y, float z) => new Vec3(-x, y, -z);

        /// <summary>Quaternion in SRanipal's axes.</summary>
        public static Quat SRanipalRotation(float x, float y, float z, float w) => new Quat(-x, y, -z, w);
    }
}
