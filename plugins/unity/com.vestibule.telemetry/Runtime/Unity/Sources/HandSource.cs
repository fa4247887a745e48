#if VESTIBULE_XR_HANDS
using System.Collections.Generic;
using UnityEngine;
using UnityEngine.XR.Hands;

namespace Vestibule.Unity
{
    /// <summary>26 joints of one hand, from the package XR Hands.</summary>
    internal sealed class HandSource : CaptureSource
    {
        private const long LookAgainNs = 1_000_000_000;
        private const int HighFidelity = 1 << 5;  // of XRHandJointTrackingState since XR Hands 1.5; by number for older ones

        private readonly byte _hand;
        private readonly ushort _stream;
        private readonly Lapse _lapse = new Lapse();
        private readonly Advice _advice = new Advice(Advice.Hands);
        private readonly List<XRHandSubsystem> _found = new List<XRHandSubsystem>();
        private readonly Joint[] _joints = new Joint[26];
        private XRHandSubsystem _subsystem;
        private long _lookNs;

        /// <summary>Makes one: 1 left, 2 right.</summary>
        public HandSource(string name, byte hand)
            : base(name, Kinds.Hand)
        {
            _hand = hand;
            _stream = hand == 1 ? Streams.LeftHand : Streams.RightHand;
        }

        protected override string Read(Outlet outlet, Devices devices, long nowNs)
        {
            bool running = Find(nowNs);
            string words = _hand == 1 ? _advice.Look(running, nowNs) : null;  // once, not once for each hand
            bool tracked = false;
            XRHand hand = default;
            if (running)
            {
                hand = _hand == 1 ? _subsystem.leftHand : _subsystem.rightHand;
                tracked = hand.isTracked;
            }
            if (!_lapse.Wants(tracked, nowNs))
            {
                return words;
            }
            for (int i = 0; i < _joints.Length; i++)
            {
                _joints[i] = tracked ? Of(hand.GetJoint(Id(i))) : new Joint(0, Vec3.Unknown, Quat.Unknown, float.NaN);
            }
            outlet.Describe(_stream, About.Hand(_stream, outlet.Space));
            outlet.Hand(_stream, nowNs, _hand, 0, tracked, float.NaN, _joints);
            return words;
        }

        private bool Find(long nowNs)
        {
            if ((_subsystem == null || !_subsystem.running) && nowNs >= _lookNs)
            {
                _lookNs = nowNs + LookAgainNs;
                SubsystemManager.GetSubsystems(_found);
                _subsystem = null;
                for (int i = 0; i < _found.Count && _subsystem == null; i++)
                {
                    _subsystem = _found[i].running ? _found[i] : null;
                }
            }
            return _subsystem != null && _subsystem.running;
        }

        // XR Hands counts the wrist first; OpenXR, and so the record, the palm. All others have the same order.
        private static XRHandJointID Id(int index)
        {
            switch (index)
            {
                case 0: return XRHandJointID.Palm;
                case 1: return XRHandJointID.Wrist;
                default: return XRHandJointID.ThumbMetacarpal + (index - 2);
            }
        }

        private static Joint Of(XRHandJoint joint)
        {
            if (!joint.TryGetPose(out Pose pose))
            {
                return new Joint(0, Vec3.Unknown, Quat.Unknown, float.NaN);
            }
            Vector3 p = pose.position;
            Quaternion q = pose.rotation;
            var turn = Axes.UnityRotation(q.x, q.y, q.z, q.w);
            uint flags = PoseFlags.PositionValid;
            flags |= PoseRules.IsTurn(turn) ? (uint)PoseFlags.OrientationValid : 0;
            if (((int)joint.trackingState & HighFidelity) != 0)
            {
                flags |= (flags & 3) << 2;  // measured, as far as valid
            }
            if (!joint.TryGetRadius(out float radius))
            {
                radius = float.NaN;
            }
            return new Joint(flags, Axes.UnityVector(p.x, p.y, p.z), turn, radius);
        }
    }
}
#else
namespace Vestibule.Unity
{
    /// <summary>Without the package XR Hands: says once what is missing, when a session permits hands.</summary>
    internal sealed class NoHandSource : CaptureSource
    {
        private readonly Advice _advice = new Advice(Advice.Hands);

        public NoHandSource()
            : base("hands", Kinds.Hand)
        {
        }

        protected override string Read(Outlet outlet, Devices devices, long nowNs) => _advice.Look(false, nowNs);
    }
}
#endif
