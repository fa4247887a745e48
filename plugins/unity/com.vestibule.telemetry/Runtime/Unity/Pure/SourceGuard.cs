using System;

namespace Vestibule.Unity
{
    /// <summary>
    /// What one source of samples has done wrong so far. A vendor's SDK that throws must cost its own samples and
    /// nothing else: not the frame, not the other sources, not a log full of the same line.
    /// </summary>
    public sealed class SourceGuard
    {
        /// <summary>A source that fails so often without one good frame between is switched off.</summary>
        public const int MostInARow = 5;

        /// <summary>A source that fails so often in all is switched off, also when it recovers in between.</summary>
        public const int MostInAll = 100;

        private int _inARow;

        /// <summary>Makes the guard of a source.</summary>
        /// <param name="name">For people: <c>gaze</c>.</param>
        public SourceGuard(string name)
        {
            Name = name;
        }

        /// <summary>Name of the source.</summary>
        public string Name { get; }

        /// <summary>Whether the source is to be asked.</summary>
        public bool On { get; private set; } = true;

        /// <summary>Failures since the beginning; never set back.</summary>
        public int Failures { get; private set; }

        /// <summary>The source gave its samples, or had none.</summary>
        public void Succeeded()
        {
            _inARow = 0;
        }

        /// <summary>The source threw.</summary>
        /// <returns>What to tell, once for the first failure and once when it is switched off; null for nothing.</returns>
        public string Failed(Exception error)
        {
            Failures++;
            _inARow++;
            string what = error.GetType().Name + ": " + error.Message;
            if (On && (_inARow >= MostInARow || Failures >= MostInAll))
            {
                On = false;
                return "Vestibule: the source '" + Name + "' failed " + Failures + " times and is switched off ("
                    + what + "). The others go on. Mend what it reads (SDK, permission) and restart the app.";
            }
            return Failures == 1
                ? "Vestibule: the source '" + Name + "' failed (" + what + "). It is asked again; the others go on."
                : null;
        }
    }
}
