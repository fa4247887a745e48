using System;
using System.Collections.Generic;
using UnityEngine.XR;

namespace Vestibule.Unity
{
    /// <summary>
    /// The XR devices in use. Looked up when the runtime says that one came, went or changed, never once a frame;
    /// lists are reused.
    /// </summary>
    internal sealed class Devices : IDisposable
    {
        private readonly List<InputDevice> _found = new List<InputDevice>();
        private readonly List<XRInputSubsystem> _subsystems = new List<XRInputSubsystem>();
        private readonly Action<InputDevice> _changed;
        private bool _stale = true;

        public Devices()
        {
            _changed = _ => _stale = true;
            InputDevices.deviceConnected += _changed;
            InputDevices.deviceDisconnected += _changed;
            InputDevices.deviceConfigChanged += _changed;
        }

        public InputDevice Head { get; private set; }

        public InputDevice Left { get; private set; }

        public InputDevice Right { get; private set; }

        public InputDevice Eyes { get; private set; }

        /// <summary>The subsystem that the head belongs to, for the tracking origin; null without one.</summary>
        public XRInputSubsystem Origin { get; private set; }

        /// <summary>Grows by one whenever devices were looked up anew: then streams may be described anew.</summary>
        public int Version { get; private set; }

        /// <summary>Once a frame, before any source looks.</summary>
        public void Refresh()
        {
            if (!_stale)
            {
                return;
            }
            _stale = false;
            Version++;
            Head = At(XRNode.Head);
            Left = At(XRNode.LeftHand);
            Right = At(XRNode.RightHand);
            InputDevices.GetDevicesWithCharacteristics(InputDeviceCharacteristics.EyeTracking, _found);
            Eyes = _found.Count > 0 ? _found[0] : Head;  // some plugins give eyesData on the headset itself
            UnityEngine.SubsystemManager.GetSubsystems(_subsystems);
            Origin = _subsystems.Count > 0 ? _subsystems[0] : null;
        }

        /// <summary>Looks everything up anew in the next frame.</summary>
        public void Touch() => _stale = true;

        public void Dispose()
        {
            InputDevices.deviceConnected -= _changed;
            InputDevices.deviceDisconnected -= _changed;
            InputDevices.deviceConfigChanged -= _changed;
        }

        // At one node there may stand a tracked hand beside the controller, or an eye tracker beside the headset: what
        // the stream is named for goes first.
        private InputDevice At(XRNode node)
        {
            var wanted = node == XRNode.Head ? InputDeviceCharacteristics.HeadMounted : InputDeviceCharacteristics.Controller;
            InputDevices.GetDevicesAtXRNode(node, _found);
            for (int i = 0; i < _found.Count; i++)
            {
                var what = _found[i].characteristics & (wanted | InputDeviceCharacteristics.EyeTracking);
                if (what == wanted)
                {
                    return _found[i];
                }
            }
            return _found.Count > 0 ? _found[0] : default;
        }
    }
}
