using System;
using System.Text;

namespace Vestibule.Tests
{
    /// <summary>MessagePack's shortest forms, records from their values, frames: frames.json.</summary>
    internal static class FrameChecks
    {
        private delegate void Reads(ref MsgReader from);

        public static void MessagePack(Checks checks, Json forms)
        {
            foreach (var row in forms["int"].Items)
            {
                var text = row["value"].Text;
                var negative = text[0] == '-';
                Both(checks, text, row["bytes"].Hex, (ref MsgWriter to) =>
                {
                    if (negative)
                    {
                        to.Int(row["value"].I64);
                    }
                    else
                    {
                        to.Int(row["value"].U64);
                    }
                },
                (ref MsgReader from) =>
                {
                    var bits = from.Integer(out var isNegative);
                    checks.Equal("sign of " + text, isNegative, negative);
                    checks.Equal("value of " + text, negative ? ((long)bits).ToString() : bits.ToString(), text);
                });
                if (!negative)
                {
                    checks.Equal("size of " + text, MsgWriter.IntBytes(row["value"].U64), row["bytes"].Hex.Length);
                }
            }

            foreach (var row in forms["float64"].Items)
            {
                Both(checks, row["value"].Text, row["bytes"].Hex, (ref MsgWriter to) => to.Float64(row["value"].Double),
                    (ref MsgReader from) => checks.Equal("float", from.Float64(), row["value"].Double));
            }

            foreach (var row in forms["str"].Items)
            {
                Both(checks, row["value"].Text, row["bytes"].Hex, (ref MsgWriter to) => to.Str(row["value"].Text),
                    (ref MsgReader from) => checks.Equal("str", from.Str(), row["value"].Text));
            }

            foreach (var row in forms["bin_head"].Items)
            {
                var length = row["length"].Int;
                var whole = new byte[row["head"].Hex.Length + length];
                row["head"].Hex.CopyTo(whole, 0);
                if (length <= ushort.MaxValue)
                {
                    Both(checks, "bin of " + length, whole, (ref MsgWriter to) => to.Pad(length),
                        (ref MsgReader from) => checks.Equal("bin", from.Bin().Length, length));
                }
                else
                {
                    var from = new MsgReader(whole, 0, whole.Length); // above what VT1 has: read, and no packet is so long
                    checks.Equal("bin of " + length, from.Bin().Length, length);
                }
            }

            foreach (var row in forms["array_head"].Items)
            {
                var length = row["length"].Int;
                var whole = new byte[row["head"].Hex.Length + length];
                row["head"].Hex.CopyTo(whole, 0);
                Both(checks, "array of " + length, whole, (ref MsgWriter to) =>
                {
                    to.Array(length);
                    for (var at = 0; at < length; at++)
                    {
                        to.Int(0UL);
                    }
                },
                (ref MsgReader from) =>
                {
                    checks.Equal("array", from.Array(), length);
                    for (var at = 0; at < length; at++)
                    {
                        from.UInt();
                    }
                });
            }
        }

        public static void Frames(Checks checks, Json frames)
        {
            foreach (var frame in frames.Items)
            {
                var name = frame["name"].Text;
                var made = Frame(frame);
                checks.Bytes("samples of " + name, made.Samples.AsSpan(0, made.Bytes), frame["samples_hex"].Hex);
                var buffer = new byte[2048];
                var to = new MsgWriter(buffer, 0);
                Bodies.Frame(ref to, made);
                checks.Bytes("frame " + name, buffer.AsSpan(0, to.At), frame["frame"].Hex);
            }
        }

        public static void Tables(Checks checks, Json kinds)
        {
            foreach (var row in kinds.Map)
            {
                var kind = (byte)row.Value["number"].Int;
                checks.Equal("name of " + kind, Kinds.Name(kind), row.Key);
                checks.Equal("bytes of " + row.Key, Kinds.RecordBytes(kind), row.Value["bytes"].Int);
            }
        }

        /// <summary>A frame made from the values of the vector.</summary>
        public static FrameBuffer Frame(Json frame)
        {
            var made = new FrameBuffer
            {
                Stream = new StreamState((ushort)frame["stream"].Int, (byte)frame["kind"].Int),
                First = frame["first_sample"].I64,
                Count = frame["count"].Int,
            };
            foreach (var sample in frame["samples"].Items)
            {
                made.Bytes += Record(made.Samples.AsSpan(made.Bytes), made.Stream.Kind, sample);
            }

            return made;
        }

        private static int Record(Span<byte> into, byte kind, Json from)
        {
            var t = from["t_capture_ns"].I64;
            switch (kind)
            {
                case Kinds.Pose:
                    return Records.Pose(
                        into, t, (byte)from["tracker"].Int, (byte)from["space"].Int, (ushort)from["flags"].Int, Vec(from["position_m"]),
                        Turn(from["orientation"]), Vec(from["linear_velocity"]), Vec(from["angular_velocity"]));
                case Kinds.Gaze:
                    return Records.Gaze(
                        into, t, (uint)from["device_seq"].U64, EyeOf(from["left"], from["flags_left"]), EyeOf(from["right"], from["flags_right"]),
                        Vec(from["combined_origin_m"]), Vec(from["combined_direction"]), from["vergence_m"].F32, from["confidence"].F32);
                case Kinds.Hand:
                    var joints = new Joint[from["joints"].Count];
                    for (var at = 0; at < joints.Length; at++)
                    {
                        var joint = from["joints"][at];
                        joints[at] = new Joint((uint)joint["flags"].U64, Vec(joint["position_m"]), Turn(joint["orientation"]), joint["radius_m"].F32);
                    }

                    return Records.Hand(
                        into, t, (byte)from["hand"].Int, (byte)from["source"].Int, (ushort)from["flags"].Int, from["confidence"].F32, joints);
                case Kinds.Haptic:
                    return Records.Haptic(
                        into, t, from["duration_ns"].I64, from["frequency_hz"].F32, from["amplitude"].F32, (byte)from["target"].Int,
                        (byte)from["event"].Int, (ushort)from["actuator"].Int, (uint)from["effect_id"].U64);
                case Kinds.Button:
                    return Records.Button(
                        into, t, (ushort)from["control"].Int, (byte)from["event"].Int, from["value"][0].F32, from["value"][1].F32);
                case Kinds.Clock:
                    var reading = new ClockReading(
                        t, from["gateway_received_ns"].I64, from["gateway_sent_ns"].I64, from["t_returned_ns"].I64);
                    reading.Write(into); // offset and uncertainty are computed, not copied
                    return ClockReading.SampleBytes;
                case Kinds.Marker:
                    return Records.Marker(into, t, (ushort)from["code"].Int, Encoding.UTF8.GetString(from["text"].Hex));
                case Kinds.Info:
                    return Records.Info(into, t, Encoding.UTF8.GetString(from["json"].Hex));
                case Kinds.Pcm:
                    var values = new short[from["values"].Count];
                    for (var at = 0; at < values.Length; at++)
                    {
                        values[at] = (short)from["values"][at].Int;
                    }

                    return Records.Pcm(into, t, (uint)from["sample_rate_hz"].U64, (byte)from["target"].Int, values);
                default:
                    var weights = new float[from["weights"].Count];
                    for (var at = 0; at < weights.Length; at++)
                    {
                        weights[at] = from["weights"][at].F32;
                    }

                    return Records.Face(
                        into, t, kind, from["flags"].Int == 1, (byte)from["upper_confidence"].Int, (byte)from["lower_confidence"].Int, weights);
            }
        }

        private static Eye EyeOf(Json eye, Json flags) => new Eye(
            (ushort)flags.Int, Vec(eye["origin_m"]), Vec(eye["direction"]), eye["pupil_mm"].F32, eye["openness"].F32);

        private static Vec3 Vec(Json from) => new Vec3(from[0].F32, from[1].F32, from[2].F32);

        private static Quat Turn(Json from) => new Quat(from[0].F32, from[1].F32, from[2].F32, from[3].F32);

        private static void Both(Checks checks, string what, byte[] bytes, Writes writes, Reads reads)
        {
            var buffer = new byte[bytes.Length + 8];
            var to = new MsgWriter(buffer, 0);
            writes(ref to);
            checks.Bytes("written " + what, buffer.AsSpan(0, to.At), bytes);
            var from = new MsgReader(bytes, 0, bytes.Length);
            reads(ref from);
            checks.Equal("read " + what, from.End(), null);
        }
    }
}
