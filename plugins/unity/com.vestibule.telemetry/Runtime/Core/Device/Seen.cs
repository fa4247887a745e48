using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>
    /// Downlink seqs that were seen: the newest 256; all below the lowest that ever left counts as seen. A gateway's
    /// numbers jump with each of its starts, so runs of numbers would not be shorter.
    /// </summary>
    internal sealed class Seen
    {
        private const int Remembered = 256;

        private readonly HashSet<ulong> _numbers = new HashSet<ulong>();
        private readonly ulong[] _heap = new ulong[Remembered];
        private int _count;
        private bool _hasFloor;
        private ulong _floor;

        /// <summary>Remembers a number; true when it was fresh.</summary>
        public bool Add(ulong seq)
        {
            if ((_hasFloor && seq <= _floor) || !_numbers.Add(seq))
            {
                return false;
            }

            if (_count < Remembered)
            {
                Up(_count++, seq);
                return true;
            }

            if (seq <= _heap[0])
            {
                _floor = seq; // the new one is the lowest: it leaves at once
            }
            else
            {
                _floor = _heap[0];
                Down(seq);
            }

            _hasFloor = true;
            _numbers.Remove(_floor);
            return true;
        }

        private void Up(int at, ulong seq)
        {
            while (at > 0 && _heap[(at - 1) / 2] > seq)
            {
                _heap[at] = _heap[(at - 1) / 2];
                at = (at - 1) / 2;
            }

            _heap[at] = seq;
        }

        private void Down(ulong seq)
        {
            var at = 0;
            while (true)
            {
                var child = (2 * at) + 1;
                if (child >= _count)
                {
                    break;
                }

                if (child + 1 < _count && _heap[child + 1] < _heap[child])
                {
                    child++;
                }

                if (_heap[child] >= seq)
                {
                    break;
                }

                _heap[at] = _heap[child];
                at = child;
            }

            _heap[at] = seq;
        }
    }
}
