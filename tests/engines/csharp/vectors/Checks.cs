using System;

namespace Vestibule.Tests
{
    /// <summary>Counts what holds and tells what does not; one line a group.</summary>
    internal sealed class Checks
    {
        private int _groupPassed;
        private int _groupFailed;

        public int Passed { get; private set; }

        public int Failed { get; private set; }

        /// <summary>Runs the checks of one group; an exception is one that failed.</summary>
        public void Group(string name, Action checks)
        {
            _groupPassed = _groupFailed = 0;
            try
            {
                checks();
            }
            catch (Exception error)
            {
                That(name + ": " + error, false);
            }

            if (_groupPassed + _groupFailed == 0)
            {
                That(name + ": nothing was checked", false);
            }

            Passed += _groupPassed;
            Failed += _groupFailed;
            Console.WriteLine((_groupFailed == 0 ? "ok   " : "BAD  ") + name + ": " + _groupPassed + " passed, " + _groupFailed + " failed");
        }

        public void That(string what, bool holds)
        {
            if (holds)
            {
                _groupPassed++;
            }
            else
            {
                _groupFailed++;
                Console.WriteLine("     " + what);
            }
        }

        public void Bytes(string what, ReadOnlySpan<byte> found, ReadOnlySpan<byte> expected)
        {
            var equal = found.SequenceEqual(expected);
            That(equal ? what : what + ": " + Hex.Of(found.ToArray()) + " is not " + Hex.Of(expected.ToArray()), equal);
        }

        public void Equal<T>(string what, T found, T expected) =>
            That(what + ": " + found + " is not " + expected, Equals(found, expected));
    }
}
