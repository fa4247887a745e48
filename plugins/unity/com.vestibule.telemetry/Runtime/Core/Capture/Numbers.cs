using System;
using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Vestibule
{
    /// <summary>Little-endian numbers of sample records.</summary>
    internal static class Numbers
    {
        /// <summary>The NaN that SPEC, "Sample records" asks for, so that equal samples are equal bytes.</summary>
        public const int Nan = 0x7FC00000;

        public static bool IsFinite(float value) => (Bits(value) & 0x7F800000) != 0x7F800000;

        public static int Bits(float value) => new FloatBits { Float = value }.Int;

        public static float OfBits(int bits) => new FloatBits { Int = bits }.Float;

        /// <summary>One f32; every NaN becomes the same.</summary>
        public static void Float(Span<byte> into, float value) =>
            BinaryPrimitives.WriteInt32LittleEndian(into, float.IsNaN(value) ? Nan : Bits(value));

        public static void Floats(Span<byte> into, in Vec3 value)
        {
            Float(into, value.X);
            Float(into.Slice(4), value.Y);
            Float(into.Slice(8), value.Z);
        }

        public static void Floats(Span<byte> into, in Quat value)
        {
            Float(into, value.X);
            Float(into.Slice(4), value.Y);
            Float(into.Slice(8), value.Z);
            Float(into.Slice(12), value.W);
        }

        /// <summary>The same values, to be indexed: Mono 6 lacks the indexer of ReadOnlySpan that .NET Standard 2.1 names. Only read them.</summary>
        public static Span<T> Indexed<T>(ReadOnlySpan<T> values) =>
            MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(values), values.Length);

        // BitConverter.SingleToInt32Bits is not in every profile of Unity.
        [StructLayout(LayoutKind.Explicit)]
        private struct FloatBits
        {
            [FieldOffset(0)]
            public float Float;
            [FieldOffset(0)]
            public int Int;
        }
    }
}
