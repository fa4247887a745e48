using System;
using System.Buffers.Binary;
using System.Text;

namespace Vestibule
{
    /// <content>Records of what happens now and then, and of faces.</content>
    public static partial class Records
    {
        // Throwing would lose the marker; text that is no UTF-16 gets replacement characters.
        private static readonly UTF8Encoding Utf8 = new UTF8Encoding(false, false);

        /// <summary>What was played on an actuator, as it was played: 32 bytes.</summary>
        /// <param name="into">At least 32 bytes.</param>
        /// <param name="tNs">When it was applied.</param>
        /// <param name="durationNs">-1: the shortest the actuator can make.</param>
        /// <param name="frequencyHz">0: unspecified; what is not finite becomes 0.</param>
        /// <param name="amplitude">0..1; what is not finite becomes 0.</param>
        /// <param name="target">Tracker number of pose.</param>
        /// <param name="happened">0 simple, 1 transient, 2 stop, 3 envelope, 4 pcm.</param>
        /// <param name="actuator">Number on that target; 0 the first.</param>
        /// <param name="effectId">The app's own number for the effect; 0 none.</param>
        public static int Haptic(
            Span<byte> into,
            long tNs,
            long durationNs,
            float frequencyHz,
            float amplitude,
            byte target,
            byte happened = 0,
            ushort actuator = 0,
            uint effectId = 0)
        {
            BinaryPrimitives.WriteInt64LittleEndian(into, tNs);
            BinaryPrimitives.WriteInt64LittleEndian(into.Slice(8), durationNs);
            Numbers.Float(into.Slice(16), Finite(frequencyHz));
            Numbers.Float(into.Slice(20), Finite(amplitude));
            into[24] = target;
            into[25] = happened;
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(26), actuator);
            BinaryPrimitives.WriteUInt32LittleEndian(into.Slice(28), effectId);
            return 32;
        }

        /// <summary>A button, stick or touch: 24 bytes.</summary>
        /// <param name="into">At least 24 bytes.</param>
        /// <param name="tNs">Moment of capture.</param>
        /// <param name="control">tracker &lt;&lt; 8 | control.</param>
        /// <param name="happened">0 released, 1 pressed, 2 touched, 3 value changed, 4 no longer touched.</param>
        /// <param name="x">What is not finite becomes 0.</param>
        /// <param name="y">0 for controls of one dimension.</param>
        public static int Button(Span<byte> into, long tNs, ushort control, byte happened, float x, float y)
        {
            BinaryPrimitives.WriteInt64LittleEndian(into, tNs);
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(8), control);
            into[10] = happened;
            into.Slice(11, 5).Clear();
            Numbers.Float(into.Slice(16), Finite(x));
            Numbers.Float(into.Slice(20), Finite(y));
            return 24;
        }

        /// <summary>A marker: 12 bytes and its text.</summary>
        /// <param name="into">At least 12 bytes and the text, at most 524.</param>
        /// <param name="tNs">Moment of capture.</param>
        /// <param name="code">The app's own.</param>
        /// <param name="text">At most 512 bytes of UTF-8; nothing that names a person.</param>
        /// <exception cref="ArgumentException">The text is longer.</exception>
        public static int Marker(Span<byte> into, long tNs, ushort code, string text)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(8), code);
            return Text(into, tNs, 10, text ?? "", Kinds.MaxMarkerBytes);
        }

        /// <summary>What a stream is: 10 bytes and its text.</summary>
        /// <param name="into">At least 10 bytes and the text, at most 1,034.</param>
        /// <param name="tNs">Moment of capture.</param>
        /// <param name="json">One JSON object, at most 1,024 bytes of UTF-8.</param>
        /// <exception cref="ArgumentException">The text is longer.</exception>
        public static int Info(Span<byte> into, long tNs, string json) =>
            Text(into, tNs, 8, json ?? "{}", Kinds.MaxInfoBytes);

        /// <summary>Sound played on an actuator: 16 bytes and its values.</summary>
        /// <param name="into">At least 16 bytes and 2 for each value.</param>
        /// <param name="tNs">Of the first value.</param>
        /// <param name="sampleRateHz">Values a second.</param>
        /// <param name="target">Tracker number of pose.</param>
        /// <param name="values">round(32,767 x); at most 560, of which 551 always fit a datagram.</param>
        /// <exception cref="ArgumentException">More values.</exception>
        public static int Pcm(Span<byte> into, long tNs, uint sampleRateHz, byte target, ReadOnlySpan<short> values)
        {
            if (values.Length > Kinds.MaxPcmValues)
            {
                throw new ArgumentException("A pcm has at most 560 values; split it.", nameof(values));
            }

            BinaryPrimitives.WriteInt64LittleEndian(into, tNs);
            BinaryPrimitives.WriteUInt32LittleEndian(into.Slice(8), sampleRateHz);
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(12), (ushort)values.Length);
            into[14] = target;
            into[15] = 0;
            var indexed = Numbers.Indexed(values);
            for (var at = 0; at < indexed.Length; at++)
            {
                BinaryPrimitives.WriteInt16LittleEndian(into.Slice(16 + (2 * at)), indexed[at]);
            }

            return 16 + (2 * values.Length);
        }

        /// <summary>A face: 16 bytes and 4 for each weight.</summary>
        /// <param name="into">At least that many bytes.</param>
        /// <param name="tNs">Moment of capture.</param>
        /// <param name="kind">A face kind of <see cref="Kinds"/>.</param>
        /// <param name="valid">Whether the weights may be used; false where one of them is not finite.</param>
        /// <param name="upperConfidence">0..255 for 0..1.</param>
        /// <param name="lowerConfidence">0..255 for 0..1.</param>
        /// <param name="weights">0..1, as many and in the order that the kind says.</param>
        /// <exception cref="ArgumentException">No face kind, or another number of weights.</exception>
        public static int Face(
            Span<byte> into,
            long tNs,
            byte kind,
            bool valid,
            byte upperConfidence,
            byte lowerConfidence,
            ReadOnlySpan<float> weights)
        {
            var count = Kinds.FaceWeights(kind);
            if (count == 0 || weights.Length != count)
            {
                throw new ArgumentException(
                    "Kind " + kind + " has " + count + " weights, not " + weights.Length + ".", nameof(weights));
            }

            var indexed = Numbers.Indexed(weights);
            for (var at = 0; at < count && valid; at++)
            {
                valid = Numbers.IsFinite(indexed[at]);
            }

            BinaryPrimitives.WriteInt64LittleEndian(into, tNs);
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(8), (ushort)(kind - Kinds.FaceFb2 + 1));
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(10), (ushort)count);
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(12), (ushort)(valid ? 1 : 0));
            into[14] = upperConfidence;
            into[15] = lowerConfidence;
            for (var at = 0; at < count; at++)
            {
                Numbers.Float(into.Slice(16 + (4 * at)), valid ? indexed[at] : float.NaN);
            }

            return 16 + (4 * count);
        }

        private static int Text(Span<byte> into, long tNs, int lengthAt, string text, int most)
        {
            var bytes = Utf8.GetByteCount(text);
            if (bytes > most)
            {
                throw new ArgumentException("A text of " + bytes + " bytes; at most " + most + ".", nameof(text));
            }

            BinaryPrimitives.WriteInt64LittleEndian(into, tNs);
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(lengthAt), (ushort)bytes);
            Utf8.GetBytes(text.AsSpan(), into.Slice(lengthAt + 2));
            return lengthAt + 2 + bytes;
        }
    }
}
