using UnityEngine;
using UnityEngine.XR;

namespace Vestibule.Unity
{
    /// <summary>A pose read from a device, already in OpenXR's axes, with what may be claimed of it.</summary>
    internal struct Reading
    {
        public ushort Flags;
        public Vec3 Position;
        public Quat Turn;
        public Vec3 Linear;
        public Vec3 Angular;

        /// <summary>Reads the pose of a device; no bit is set where it gave nothing.</summary>
        public static Reading Of(InputDevice device)
        {
            var reading = new Reading
            {
                Position = Vec3.Unknown,
                Turn = Quat.Unknown,
                Linear = Vec3.Unknown,
                Angular = Vec3.Unknown,
            };
            if (!device.isValid)
            {
                return reading;
            }
            uint given = 0;
            if (device.TryGetFeatureValue(CommonUsages.devicePosition, out Vector3 p))
            {
                given |= PoseRules.HasPosition;
                reading.Position = Axes.UnityVector(p.x, p.y, p.z);
            }
            if (device.TryGetFeatureValue(CommonUsages.deviceRotation, out Quaternion q))
            {
                reading.Turn = Axes.UnityRotation(q.x, q.y, q.z, q.w);
                given |= PoseRules.IsTurn(reading.Turn) ? PoseRules.HasRotation : 0;
            }
            if (device.TryGetFeatureValue(CommonUsages.deviceVelocity, out Vector3 v))
            {
                given |= PoseRules.HasVelocity;
                reading.Linear = Axes.UnityVector(v.x, v.y, v.z);
            }
            if (device.TryGetFeatureValue(CommonUsages.deviceAngularVelocity, out Vector3 w))
            {
                given |= PoseRules.HasAngularVelocity;
                reading.Angular = Axes.UnityAngular(w.x, w.y, w.z);
            }
            // A plugin without trackingState says nothing against its values; without isTracked they are not "measured".
            uint state = device.TryGetFeatureValue(CommonUsages.trackingState, out InputTrackingState s) ? (uint)s : given;
            bool tracked = device.TryGetFeatureValue(CommonUsages.isTracked, out bool is_) && is_;
            reading.Flags = PoseRules.Flags(given, state, tracked, predicted: true);
            return reading;
        }

        /// <summary>Whether both position and turn may be used.</summary>
        public bool IsWhole =>
            (Flags & (PoseFlags.PositionValid | PoseFlags.OrientationValid))
            == (PoseFlags.PositionValid | PoseFlags.OrientationValid);
    }
}
