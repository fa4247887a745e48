using System;
using UnityEngine.XR;

namespace Vestibule.Unity
{
    /// <content>What the app hands over: SDKs of eye and face trackers, bodies, props, haptics, markers.</content>
    public sealed partial class VestibuleTelemetry
    {
        // Shorter impulses are not felt, and some runtimes drop an impulse of no length.
        private const float ShortestS = 0.01f;
        private const float LongestS = 10f;

        /// <summary>
        /// Plays a haptic effect in another way than Unity's InputDevice: a vendor's SDK, a suit. Gets target,
        /// amplitude, seconds and frequency; returns whether it played. Only then the effect is recorded, with its
        /// frequency: Unity's own way cannot set one.
        /// </summary>
        public Func<byte, float, float, float, bool> HapticOutput { get; set; }

        /// <summary>Device time in nanoseconds, for samples that are stamped by the app. From any thread.</summary>
        public long NowNs() => _client != null ? _client.NowNs() : MonotonicClock.NowNs();

        /// <summary>
        /// Whether the session permits a kind now. Ask before you switch a sensor on. From any thread.
        /// </summary>
        /// <param name="kind">A number of <see cref="Kinds"/>.</param>
        public bool Permits(byte kind) => _client != null && _client.Permits(kind);

        /// <summary>
        /// Hands over gaze of a vendor's SDK. From the first call on the engine's own gaze is not captured any more.
        /// From any thread: SDKs call back on their own, at rates above the picture's.
        /// </summary>
        /// <param name="sample">Both eyes; <see cref="GazeSample.Axes"/> says in which axes.</param>
        public void Gaze(in GazeSample sample)
        {
            var outlet = _outlet;
            _capture?.OvertakeGaze();
            if (outlet != null && outlet.Takes(Kinds.Gaze))
            {
                outlet.Gaze(sample.TimeNs != 0 ? sample.TimeNs : outlet.NowNs(), sample);
            }
        }

        /// <summary>Hands over the weights of a face. From any thread.</summary>
        /// <param name="kind"><see cref="Kinds.FaceFb2"/> (70), <see cref="Kinds.FaceArkit"/> (52),
        /// <see cref="Kinds.FaceUnified"/> (143) or <see cref="Kinds.FaceHtc"/> (51: 14 eye, then 37 lip).</param>
        /// <param name="weights">0..1, in the order that the kind says.</param>
        /// <param name="valid">Whether they may be used.</param>
        /// <param name="upperConfidence">0..1.</param>
        /// <param name="lowerConfidence">0..1.</param>
        /// <exception cref="ArgumentException">No face kind, or another number of weights.</exception>
        public void Face(
            byte kind, ReadOnlySpan<float> weights, bool valid = true, float upperConfidence = 0f, float lowerConfidence = 0f)
        {
            if (Kinds.FaceWeights(kind) != weights.Length || weights.Length == 0)
            {
                throw new ArgumentException(
                    "Kind " + kind + " has " + Kinds.FaceWeights(kind) + " weights, not " + weights.Length
                    + "; use a face kind of Kinds and its own order.", nameof(weights));
            }
            var outlet = _outlet;
            if (outlet != null && outlet.Takes(kind))
            {
                outlet.Face(outlet.NowNs(), kind, valid, Byte(upperConfidence), Byte(lowerConfidence), weights);
            }
        }

        /// <summary>Hands over one joint of a body, in tracking space and Unity's axes. From any thread.</summary>
        /// <param name="joint">0..239, the app's own numbering; say it with <see cref="Describe"/>.</param>
        /// <param name="position">Metres.</param>
        /// <param name="turn">Rotation.</param>
        /// <param name="tracked">Whether it was measured and not inferred.</param>
        public void BodyJoint(int joint, UnityEngine.Vector3 position, UnityEngine.Quaternion turn, bool tracked)
        {
            if (joint < 0 || joint > 255 - Streams.FirstJoint)
            {
                throw new ArgumentOutOfRangeException(nameof(joint), joint, "A joint of a body is 0 to 239.");
            }
            OwnPose(Streams.Body, (byte)(Streams.FirstJoint + joint), position, turn, tracked);
        }

        /// <summary>Hands over a prop or an extra tracker, in tracking space and Unity's axes. From any thread.</summary>
        /// <param name="stream">12..63.</param>
        /// <param name="tracker">3..15; say what it is with <see cref="Describe"/>.</param>
        /// <param name="position">Metres.</param>
        /// <param name="turn">Rotation.</param>
        /// <param name="tracked">Whether it was measured and not inferred.</param>
        public void Prop(ushort stream, byte tracker, UnityEngine.Vector3 position, UnityEngine.Quaternion turn, bool tracked)
        {
            if (stream < Streams.FirstOwn || stream > Streams.LastOwn || tracker < 3 || tracker >= Streams.FirstJoint)
            {
                throw new ArgumentOutOfRangeException(nameof(stream), "A prop has a stream of 12 to 63 and a tracker of 3 to 15.");
            }
            OwnPose(stream, tracker, position, turn, tracked);
        }

        /// <summary>Describes a stream (SPEC, "info"): vendor, model, filter, calibration. Main thread.</summary>
        /// <param name="info">Begin with <c>new StreamInfo(stream, "gaze")</c>. No serial numbers, no names of persons.</param>
        /// <param name="stream">The stream.</param>
        public void Describe(ushort stream, StreamInfo info) => _outlet?.Describe(stream, info.ToJson());

        /// <summary>Records a marker: a trial begins, a calibration ended. From any thread.</summary>
        /// <param name="code">The app's own number, 0 to 64,999; those above are the adapter's.</param>
        /// <param name="text">At most 512 bytes; nothing that names a person.</param>
        public void Marker(ushort code, string text)
        {
            var outlet = _outlet;
            if (outlet != null && outlet.Takes(Kinds.Marker))
            {
                outlet.Marker(outlet.NowNs(), code, text);
            }
        }

        /// <summary>Records a change of a control of the app's own. From any thread.</summary>
        /// <param name="tracker">1 left, 2 right, or a prop.</param>
        /// <param name="control">128..255.</param>
        /// <param name="what">0 released, 1 pressed, 2 touched, 3 value changed, 4 no longer touched.</param>
        /// <param name="x">Value, or its first axis.</param>
        /// <param name="y">Second axis.</param>
        public void Button(byte tracker, byte control, byte what, float x, float y = 0f)
        {
            var outlet = _outlet;
            if (outlet != null && outlet.Takes(Kinds.Button))
            {
                outlet.Button(outlet.NowNs(), (ushort)(tracker << 8 | control), what, x, y);
            }
        }

        /// <summary>Records sound that the app played on an actuator, in a stream of its own. From any thread.</summary>
        /// <param name="stream">12..63.</param>
        /// <param name="rateHz">Values a second.</param>
        /// <param name="target">Tracker number of pose.</param>
        /// <param name="values">round(32,767 x), at most 551.</param>
        public void Pcm(ushort stream, uint rateHz, byte target, ReadOnlySpan<short> values)
        {
            var outlet = _outlet;
            if (outlet != null && outlet.Takes(Kinds.Pcm))
            {
                outlet.Pcm(stream, outlet.NowNs(), rateHz, target, values);
            }
        }

        /// <summary>Plays a haptic effect and records it as it was played. Main thread.</summary>
        /// <param name="target">1 left, 2 right; others for <see cref="HapticOutput"/>.</param>
        /// <param name="amplitude">0..1; beyond that it is cut.</param>
        /// <param name="seconds">0..10; 0 is the shortest.</param>
        /// <param name="hz">0 lets the actuator choose. Without <see cref="HapticOutput"/> it always does.</param>
        /// <returns>Whether it was played. What was not played is not recorded.</returns>
        public bool PlayHaptic(byte target, float amplitude, float seconds, float hz = 0f)
        {
            if (float.IsNaN(amplitude) || float.IsNaN(seconds) || float.IsNaN(hz))
            {
                return false;
            }
            amplitude = Math.Max(0f, Math.Min(1f, amplitude));
            seconds = Math.Max(ShortestS, Math.Min(LongestS, seconds));
            bool own = HapticOutput != null;
            bool played = false;
            try
            {
                played = own ? HapticOutput(target, amplitude, seconds, hz) : Impulse(target, amplitude, seconds);
            }
            catch (Exception error)
            {
                Tell("Vestibule: a haptic effect was not played: " + error.Message);
            }
            if (played && _outlet != null && _outlet.Takes(Kinds.Haptic))
            {
                // Whole microseconds: 0.05f is 50.0000007 ms.
                long ns = (long)Math.Round(seconds * 1e6) * 1000;
                _outlet.Haptic(_outlet.NowNs(), target, amplitude, ns, own ? hz : 0f);
            }
            return played;
        }

        private bool Impulse(byte target, float amplitude, float seconds)
        {
            if (_capture == null || target < 1 || target > 2)
            {
                return false;
            }
            _capture.Devices.Refresh();
            InputDevice device = target == 1 ? _capture.Devices.Left : _capture.Devices.Right;
            return device.isValid && device.SendHapticImpulse(0u, amplitude, seconds);
        }

        private void OwnPose(
            ushort stream, byte tracker, UnityEngine.Vector3 position, UnityEngine.Quaternion turn, bool tracked)
        {
            var outlet = _outlet;
            if (outlet == null || !outlet.Takes(Kinds.Pose))
            {
                return;
            }
            var q = Axes.UnityRotation(turn.x, turn.y, turn.z, turn.w);
            uint given = PoseRules.HasPosition | (PoseRules.IsTurn(q) ? PoseRules.HasRotation : 0);
            outlet.Pose(
                stream,
                outlet.NowNs(),
                tracker,
                PoseRules.Flags(given, given, tracked, predicted: false),
                Axes.UnityVector(position.x, position.y, position.z),
                q,
                Vec3.Unknown,
                Vec3.Unknown);
        }

        private static byte Byte(float unit) => (byte)Math.Round(255 * Math.Max(0f, Math.Min(1f, unit)));
    }
}
