using UnityEngine;
using UnityEngine.XR;

namespace Vestibule.Unity
{
    /// <summary>
    /// What the engine itself tells about the eyes: OpenXR's combined gaze (gazePosition, gazeRotation), or a plugin's
    /// eyesData. Both are told in the room; a record is in head space, so they are turned back by the head of this
    /// frame. There is no pupil here: for that a vendor's SDK hands over <see cref="GazeSample"/>.
    /// </summary>
    internal sealed class GazeSource : CaptureSource
    {
        // By name, so that the package does not need com.unity.xr.openxr.
        private static readonly InputFeatureUsage<Vector3> GazePosition = new InputFeatureUsage<Vector3>("gazePosition");
        private static readonly InputFeatureUsage<Quaternion> GazeRotation = new InputFeatureUsage<Quaternion>("gazeRotation");

        private readonly Advice _advice = new Advice(Advice.Eyes);
        private bool _seen;
        private int _described = -1;

        public GazeSource()
            : base("gaze", Kinds.Gaze)
        {
        }

        /// <summary>Set when the app hands over gaze of its own: two trackers in one stream would be nonsense.</summary>
        public bool Overtaken { get; set; }

        protected override string Read(Outlet outlet, Devices devices, long nowNs)
        {
            if (Overtaken)
            {
                return null;
            }
            var sample = GazeSample.Unknown(GazeAxes.OpenXr);
            var head = Reading.Of(devices.Head);
            bool has = devices.Eyes.isValid
                && (Combined(devices.Eyes, head, ref sample) || Separate(devices.Eyes, head, ref sample));
            if (!has && !_seen)
            {
                return _advice.Look(false, nowNs);
            }
            _seen = true;
            if (_described != devices.Version)
            {
                _described = devices.Version;
                outlet.Describe(Streams.Gaze, About.Gaze(devices.Eyes));
            }
            outlet.Gaze(nowNs, sample);
            return null;
        }

        private static bool Combined(InputDevice eyes, in Reading head, ref GazeSample sample)
        {
            if (!eyes.TryGetFeatureValue(GazeRotation, out Quaternion turn))
            {
                return false;
            }
            bool tracked = !eyes.TryGetFeatureValue(CommonUsages.isTracked, out bool is_) || is_;
            var q = Axes.UnityRotation(turn.x, turn.y, turn.z, turn.w);
            if (!tracked || !head.IsWhole || !PoseRules.IsTurn(q))
            {
                return true;  // the tracker is there and sees nothing
            }
            var direction = PoseRules.InHead(head.Turn, PoseRules.Forward(q));
            sample.CombinedDirectionX = direction.X;
            sample.CombinedDirectionY = direction.Y;
            sample.CombinedDirectionZ = direction.Z;
            sample.Left.Flags |= EyeFlags.CombinedDirectionValid;
            if (eyes.TryGetFeatureValue(GazePosition, out Vector3 place))
            {
                var origin = InHead(head, place);
                sample.CombinedOriginX = origin.X;
                sample.CombinedOriginY = origin.Y;
                sample.CombinedOriginZ = origin.Z;
                sample.Left.Flags |= EyeFlags.CombinedOriginValid;
            }
            return true;
        }

        private static bool Separate(InputDevice device, in Reading head, ref GazeSample sample)
        {
            if (!device.TryGetFeatureValue(CommonUsages.eyesData, out Eyes eyes))
            {
                return false;
            }
            bool any = false;
            if (eyes.TryGetLeftEyePosition(out Vector3 place) && head.IsWhole)
            {
                Origin(head, place, ref sample.Left);
                any = true;
            }
            if (eyes.TryGetLeftEyeRotation(out Quaternion turn) && head.IsWhole)
            {
                Direction(head, turn, ref sample.Left);
                any = true;
            }
            if (eyes.TryGetRightEyePosition(out place) && head.IsWhole)
            {
                Origin(head, place, ref sample.Right);
                any = true;
            }
            if (eyes.TryGetRightEyeRotation(out turn) && head.IsWhole)
            {
                Direction(head, turn, ref sample.Right);
                any = true;
            }
            if (eyes.TryGetLeftEyeOpenAmount(out float open))
            {
                sample.Left.Openness = open;
                sample.Left.Flags |= EyeFlags.OpennessValid;
                any = true;
            }
            if (eyes.TryGetRightEyeOpenAmount(out open))
            {
                sample.Right.Openness = open;
                sample.Right.Flags |= EyeFlags.OpennessValid;
                any = true;
            }
            return any;
        }

        private static void Origin(in Reading head, Vector3 place, ref EyeSample eye)
        {
            var origin = InHead(head, place);
            eye.OriginX = origin.X;
            eye.OriginY = origin.Y;
            eye.OriginZ = origin.Z;
            eye.Flags |= EyeFlags.OriginValid;
        }

        private static void Direction(in Reading head, Quaternion turn, ref EyeSample eye)
        {
            var q = Axes.UnityRotation(turn.x, turn.y, turn.z, turn.w);
            if (!PoseRules.IsTurn(q))
            {
                return;
            }
            var direction = PoseRules.InHead(head.Turn, PoseRules.Forward(q));
            eye.DirectionX = direction.X;
            eye.DirectionY = direction.Y;
            eye.DirectionZ = direction.Z;
            eye.Flags |= EyeFlags.DirectionValid;
        }

        private static Vec3 InHead(in Reading head, Vector3 place)
        {
            var p = Axes.UnityVector(place.x, place.y, place.z);
            return PoseRules.InHead(
                head.Turn, new Vec3(p.X - head.Position.X, p.Y - head.Position.Y, p.Z - head.Position.Z));
        }
    }
}
