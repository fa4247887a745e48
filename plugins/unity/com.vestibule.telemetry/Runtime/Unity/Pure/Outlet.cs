using System;

namespace Vestibule.Unity
{
    /// <summary>
    /// The one door by which samples leave the app: asks the permit, describes each stream when it begins, and hands
    /// the record to the client. May be called from any thread; records stand on the caller's stack.
    /// </summary>
    public sealed class Outlet
    {
        private readonly VestibuleClient _client;
        private readonly string[] _notes = new string[Streams.LastOwn + 1];
        private readonly bool[] _begun = new bool[Streams.LastOwn + 1];

        /// <summary>Makes the door of a client.</summary>
        public Outlet(VestibuleClient client)
        {
            _client = client;
        }

        /// <summary>Space of poses: 1 local, 2 local_floor, 3 stage, 4 unbounded.</summary>
        public byte Space { get; set; } = 2;

        /// <summary>Device time in nanoseconds.</summary>
        public long NowNs() => _client.NowNs();

        /// <summary>Whether samples of a kind are taken now. Sources ask this before they look at a person.</summary>
        public bool Takes(byte kind) => _client.Permits(kind);

        /// <summary>
        /// Keeps the description of a stream. It is sent when the stream begins, and now if the stream has begun and the
        /// description is another.
        /// </summary>
        public void Describe(ushort stream, string json)
        {
            if (stream > Streams.LastOwn || _notes[stream] == json)
            {
                return;
            }
            _notes[stream] = json;
            if (_begun[stream])
            {
                SendNote(json);
            }
        }

        /// <summary>Another link records: streams may begin anew, so they are described again.</summary>
        public void Forget() => Array.Clear(_begun, 0, _begun.Length);

        /// <summary>Hands over records, the stream's description first when it begins.</summary>
        public void Put(ushort stream, byte kind, ReadOnlySpan<byte> record, int count = 1)
        {
            if (stream <= Streams.LastOwn && !_begun[stream] && _client.Permits(kind))
            {
                _begun[stream] = true;
                SendNote(_notes[stream] ?? new StreamInfo(stream, Kinds.Name(kind)).With("axes", "openxr").ToJson());
            }
            _client.Capture(stream, kind, record, count);
        }

        /// <summary>A pose; values are OpenXR's.</summary>
        public void Pose(
            ushort stream, long tNs, byte tracker, ushort flags, in Vec3 position, in Quat turn, in Vec3 linear, in Vec3 angular)
        {
            Span<byte> record = stackalloc byte[64];
            Records.Pose(record, tNs, tracker, Space, flags, position, turn, linear, angular);
            Put(stream, Kinds.Pose, record);
        }

        /// <summary>A hand of 26 joints in OpenXR's order.</summary>
        public void Hand(ushort stream, long tNs, byte hand, byte source, bool tracked, float confidence, ReadOnlySpan<Joint> joints)
        {
            Span<byte> record = stackalloc byte[952];
            Records.Hand(record, tNs, hand, source, (ushort)(tracked ? 1 : 0), confidence, joints);
            Put(stream, Kinds.Hand, record);
        }

        /// <summary>Both eyes.</summary>
        public void Gaze(long tNs, in GazeSample gaze)
        {
            Span<byte> record = stackalloc byte[112];
            gaze.Write(record, tNs);
            Put(Streams.Gaze, Kinds.Gaze, record);
        }

        /// <summary>A face; <paramref name="kind"/> is a face kind and says how many weights.</summary>
        public void Face(long tNs, byte kind, bool valid, byte upper, byte lower, ReadOnlySpan<float> weights)
        {
            Span<byte> record = stackalloc byte[16 + (4 * 143)];
            int bytes = Records.Face(record, tNs, kind, valid, upper, lower, weights);
            Put(Streams.Face, kind, record.Slice(0, bytes));
        }

        /// <summary>A change of a button.</summary>
        public void Button(long tNs, ushort control, byte what, float x, float y)
        {
            Span<byte> record = stackalloc byte[24];
            Records.Button(record, tNs, control, what, x, y);
            Put(Streams.Buttons, Kinds.Button, record);
        }

        /// <summary>What was played.</summary>
        public void Haptic(
            long tNs, byte target, float amplitude, long durationNs, float hz, byte what = 0, ushort actuator = 0, uint effect = 0)
        {
            Span<byte> record = stackalloc byte[32];
            Records.Haptic(record, tNs, durationNs, hz, amplitude, target, what, actuator, effect);
            Put(Streams.Haptic, Kinds.Haptic, record);
        }

        /// <summary>A marker.</summary>
        public void Marker(long tNs, ushort code, string text)
        {
            Span<byte> record = stackalloc byte[12 + Kinds.MaxMarkerBytes];
            int bytes = Records.Marker(record, tNs, code, text);
            Put(Streams.Markers, Kinds.Marker, record.Slice(0, bytes));
        }

        /// <summary>Sound that was played, in a stream of the app's own.</summary>
        public void Pcm(ushort stream, long tNs, uint rateHz, byte target, ReadOnlySpan<short> values)
        {
            Span<byte> record = stackalloc byte[Kinds.MaxRecordBytes];
            int bytes = Records.Pcm(record, tNs, rateHz, target, values);
            Put(stream, Kinds.Pcm, record.Slice(0, bytes));
        }

        private void SendNote(string json)
        {
            Span<byte> record = stackalloc byte[10 + Kinds.MaxInfoBytes];
            int bytes = Records.Info(record, NowNs(), json);
            _client.Capture(Streams.Info, Kinds.Info, record.Slice(0, bytes));
        }
    }
}
