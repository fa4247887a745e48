namespace Vestibule.Unity
{
    /// <summary>Where changes of buttons go.</summary>
    public interface IButtonSink
    {
        /// <summary>A change.</summary>
        /// <param name="control">tracker &lt;&lt; 8 | number of the control.</param>
        /// <param name="what">0 released, 1 pressed, 2 touched, 3 value changed, 4 no longer touched.</param>
        /// <param name="x">Value, or its first axis.</param>
        /// <param name="y">Second axis; 0 where there is one only.</param>
        void Button(ushort control, byte what, float x, float y);
    }

    /// <summary>
    /// The controls of one controller: tells what changed since the frame before, and nothing else. SPEC, "button".
    /// </summary>
    public sealed class ButtonChanges
    {
        /// <summary>
        /// A value is told when it moved this far since it was last told, or came to rest at 0 or 1: a thumb that
        /// lies on a trigger trembles, and each tremble would be a sample.
        /// </summary>
        public const float Step = 1f / 64f;

        private const int Controls = 10;  // numbers 1..9 of SPEC, "button"; 0 is unused

        private readonly byte _tracker;
        private readonly IButtonSink _sink;
        private readonly bool[] _pressed = new bool[Controls];
        private readonly bool[] _touched = new bool[Controls];
        private readonly float[] _x = new float[Controls];
        private readonly float[] _y = new float[Controls];

        /// <summary>Makes the memory of one controller.</summary>
        /// <param name="tracker">1 left, 2 right.</param>
        /// <param name="sink">Where changes go.</param>
        public ButtonChanges(byte tracker, IButtonSink sink)
        {
            _tracker = tracker;
            _sink = sink;
        }

        /// <summary>This frame's state of one control. Values that are not finite are passed over.</summary>
        /// <param name="control">1..9 of SPEC, "button".</param>
        /// <param name="pressed">Whether it is pressed.</param>
        /// <param name="touched">Whether it is touched.</param>
        /// <param name="x">Value, or its first axis; for a plain button 1 or 0.</param>
        /// <param name="y">Second axis.</param>
        public void Observe(int control, bool pressed, bool touched, float x, float y)
        {
            if (!Finite(x) || !Finite(y))
            {
                return;
            }
            if (touched && !_touched[control])
            {
                Tell(control, 2, x, y);
            }
            if (pressed != _pressed[control])
            {
                Tell(control, (byte)(pressed ? 1 : 0), x, y);
            }
            if (!touched && _touched[control])
            {
                Tell(control, 4, x, y);
            }
            _touched[control] = touched;
            _pressed[control] = pressed;
            if (Moved(_x[control], x) || Moved(_y[control], y))
            {
                Tell(control, 3, x, y);
            }
        }

        /// <summary>
        /// The controller is gone: what it would say is not known, so nothing is told. When it comes back it is
        /// compared with a controller at rest.
        /// </summary>
        public void Forget()
        {
            for (int i = 0; i < Controls; i++)
            {
                _pressed[i] = _touched[i] = false;
                _x[i] = _y[i] = 0f;
            }
        }

        private void Tell(int control, byte what, float x, float y)
        {
            _x[control] = x;  // every event carries the value, so it counts as told
            _y[control] = y;
            _sink.Button((ushort)(_tracker << 8 | control), what, x, y);
        }

        private static bool Moved(float told, float now)
        {
            float by = now - told;
            return by >= Step || by <= -Step || (by != 0f && (now == 0f || now == 1f || now == -1f));
        }

        private static bool Finite(float value) => !float.IsNaN(value) && !float.IsInfinity(value);
    }
}
