using UnityEngine.XR;

namespace Vestibule.Unity
{
    /// <summary>Head or controller: one pose a frame. One that was there and is gone goes on without valid bits.</summary>
    internal sealed class TrackerSource : CaptureSource
    {
        private readonly byte _tracker;
        private readonly ushort _stream;
        private readonly PoseRules _rules = new PoseRules();
        private bool _seen;
        private int _described = -1;

        /// <summary>Makes one; trackers 0 (head), 1 and 2 stand in the streams of the same numbers.</summary>
        public TrackerSource(string name, byte tracker)
            : base(name, Kinds.Pose)
        {
            _tracker = tracker;
            _stream = tracker;
        }

        protected override string Read(Outlet outlet, Devices devices, long nowNs)
        {
            InputDevice device = _tracker == 0 ? devices.Head : _tracker == 1 ? devices.Left : devices.Right;
            if (!device.isValid && !_seen)
            {
                return null;
            }
            _seen = true;
            if (_described != devices.Version)
            {
                _described = devices.Version;
                outlet.Describe(_stream, About.Tracker(_stream, outlet.Space, device));
            }
            var reading = Reading.Of(device);
            if (reading.IsWhole && _rules.Repeats(reading.Position, reading.Turn))
            {
                reading.Flags |= PoseFlags.Held;
            }
            outlet.Pose(
                _stream, nowNs, _tracker, reading.Flags, reading.Position, reading.Turn, reading.Linear, reading.Angular);
            return null;
        }
    }
}
