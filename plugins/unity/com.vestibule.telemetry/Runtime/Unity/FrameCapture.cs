using System;
using System.Collections.Generic;
using UnityEngine.XR;

namespace Vestibule.Unity
{
    /// <summary>One frame of capture: every source once, each contained, nothing allocated.</summary>
    internal sealed class FrameCapture : IDisposable
    {
        private readonly VestibuleClient _client;
        private readonly Outlet _outlet;
        private readonly Action<string> _tell;
        private readonly Devices _devices = new Devices();
        private readonly List<CaptureSource> _sources = new List<CaptureSource>();
        private readonly GazeSource _gaze = new GazeSource();
        private readonly Action<XRInputSubsystem> _originMoved;
        private XRInputSubsystem _origin;
        private int _frame = -1;
        private int _drawn = -1;
        private int _recordings;

        /// <summary>Makes the sources that the settings name.</summary>
        public FrameCapture(VestibuleClient client, Outlet outlet, VestibuleSettings settings, Action<string> tell)
        {
            _client = client;
            _outlet = outlet;
            _tell = tell;
            _originMoved = OriginMoved;
            if (settings.Head)
            {
                _sources.Add(new TrackerSource("head", 0));
            }
            if (settings.Controllers)
            {
                _sources.Add(new TrackerSource("left controller", 1));
                _sources.Add(new TrackerSource("right controller", 2));
            }
            if (settings.Buttons)
            {
                _sources.Add(new ButtonSource("left buttons", 1));
                _sources.Add(new ButtonSource("right buttons", 2));
            }
            if (settings.Gaze)
            {
                _sources.Add(_gaze);
            }
#if VESTIBULE_XR_HANDS
            if (settings.Hands)
            {
                _sources.Add(new HandSource("left hand", 1));
                _sources.Add(new HandSource("right hand", 2));
            }
#else
            if (settings.Hands)
            {
                _sources.Add(new NoHandSource());
            }
#endif
        }

        /// <summary>The devices, for haptics.</summary>
        public Devices Devices => _devices;

        /// <summary>The app hands over gaze of its own from now on.</summary>
        public void OvertakeGaze() => _gaze.Overtaken = true;

        /// <summary>The frame is about to be drawn: captures it, if that was not done.</summary>
        /// <param name="frame">Number of the frame.</param>
        public void BeforeRender(int frame)
        {
            _drawn = frame;
            Capture(frame);
        }

        /// <summary>Captures now if the frame before this one was not drawn.</summary>
        public void LateUpdate(int frame)
        {
            if (frame - _drawn > 1)
            {
                Capture(frame);
            }
        }

        /// <summary>Whether somebody wears the headset.</summary>
        /// <returns>False where the headset cannot tell.</returns>
        public bool TryWorn(out bool worn)
        {
            _devices.Refresh();
            worn = true;
            return _devices.Head.isValid && _devices.Head.TryGetFeatureValue(CommonUsages.userPresence, out worn);
        }

        public void Dispose()
        {
            Follow(null);
            _devices.Dispose();
        }

        private void Capture(int frame)
        {
            if (frame == _frame)
            {
                return;
            }
            _frame = frame;
            int recordings = _client.Recordings;
            if (recordings != _recordings)
            {
                _recordings = recordings;
                _outlet.Forget();
            }
            if (!_client.Recording)
            {
                return;
            }
            _devices.Refresh();
            Follow(_devices.Origin);
            long now = _outlet.NowNs();
            for (int i = 0; i < _sources.Count; i++)
            {
                string words = _sources[i].Capture(_outlet, _devices, now);
                if (words != null)
                {
                    _tell(words);
                }
            }
        }

        private void Follow(XRInputSubsystem origin)
        {
            if (ReferenceEquals(origin, _origin))
            {
                return;
            }
            if (_origin != null)
            {
                _origin.trackingOriginUpdated -= _originMoved;
            }
            _origin = origin;
            if (origin != null)
            {
                origin.trackingOriginUpdated += _originMoved;
                _outlet.Space = About.SpaceOf(origin.GetTrackingOriginMode());
                About.Forget();
                _devices.Touch();
            }
        }

        // Poses before and after have another origin: a reader needs to know when, and in which space they stand now.
        private void OriginMoved(XRInputSubsystem origin)
        {
            _outlet.Space = About.SpaceOf(origin.GetTrackingOriginMode());
            About.Forget();
            _devices.Touch();
            if (_outlet.Takes(Kinds.Marker))
            {
                _outlet.Marker(_outlet.NowNs(), Streams.RecentredCode, Streams.RecentredText);
            }
        }
    }
}
