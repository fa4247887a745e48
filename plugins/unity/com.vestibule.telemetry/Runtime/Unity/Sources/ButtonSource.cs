using UnityEngine;
using UnityEngine.XR;

namespace Vestibule.Unity
{
    /// <summary>The buttons of one controller: changes only.</summary>
    internal sealed class ButtonSource : CaptureSource, IButtonSink
    {
        private readonly byte _tracker;
        private readonly ButtonChanges _changes;
        private Outlet _outlet;
        private long _nowNs;

        public ButtonSource(string name, byte tracker)
            : base(name, Kinds.Button)
        {
            _tracker = tracker;
            _changes = new ButtonChanges(tracker, this);
        }

        void IButtonSink.Button(ushort control, byte what, float x, float y) =>
            _outlet.Button(_nowNs, control, what, x, y);

        protected override string Read(Outlet outlet, Devices devices, long nowNs)
        {
            InputDevice device = _tracker == 1 ? devices.Left : devices.Right;
            if (!device.isValid)
            {
                _changes.Forget();
                return null;
            }
            _outlet = outlet;
            _nowNs = nowNs;
            Analog(device, 1, CommonUsages.triggerButton, CommonUsages.trigger);
            Analog(device, 2, CommonUsages.gripButton, CommonUsages.grip);
            Stick(device, 3, CommonUsages.primary2DAxis, CommonUsages.primary2DAxisClick, CommonUsages.primary2DAxisTouch);
            Stick(device, 4, CommonUsages.secondary2DAxis, CommonUsages.secondary2DAxisClick, CommonUsages.secondary2DAxisTouch);
            Plain(device, 5, CommonUsages.primaryButton, CommonUsages.primaryTouch);
            Plain(device, 6, CommonUsages.secondaryButton, CommonUsages.secondaryTouch);
            if (device.TryGetFeatureValue(CommonUsages.menuButton, out bool menu))
            {
                _changes.Observe(7, menu, false, menu ? 1f : 0f, 0f);
            }
            return null;
        }

        // Controls that the device does not have give nothing, and are not told.
        private void Analog(InputDevice device, int control, InputFeatureUsage<bool> button, InputFeatureUsage<float> axis)
        {
            bool has = device.TryGetFeatureValue(button, out bool pressed);
            if (device.TryGetFeatureValue(axis, out float value) || has)
            {
                _changes.Observe(control, pressed, false, value, 0f);
            }
        }

        private void Stick(
            InputDevice device,
            int control,
            InputFeatureUsage<Vector2> axis,
            InputFeatureUsage<bool> click,
            InputFeatureUsage<bool> touch)
        {
            if (device.TryGetFeatureValue(axis, out Vector2 value))
            {
                device.TryGetFeatureValue(click, out bool pressed);
                device.TryGetFeatureValue(touch, out bool touched);
                _changes.Observe(control, pressed, touched, value.x, value.y);
            }
        }

        private void Plain(InputDevice device, int control, InputFeatureUsage<bool> button, InputFeatureUsage<bool> touch)
        {
            if (device.TryGetFeatureValue(button, out bool pressed))
            {
                device.TryGetFeatureValue(touch, out bool touched);
                _changes.Observe(control, pressed, touched, pressed ? 1f : 0f, 0f);
            }
        }
    }
}
