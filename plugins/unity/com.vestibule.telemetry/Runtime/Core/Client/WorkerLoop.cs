using System;

namespace Vestibule
{
    /// <content>The thread's loop: it ends when it is told to, and for nothing else.</content>
    internal sealed partial class Worker
    {
        private void Run()
        {
            // Made once: the thread at work makes no garbage. Apart, so that one that fails costs the others nothing.
            var steps = new Action[] { TakeOrders, TakeCaptured, TakePackets, TickOnce, PairOnce, WatchOnce, KeepOnce, TellOnce, LookAhead };
            Guarded(Open);
            while (!_isOver)
            {
                _queue.Awake();
                foreach (var step in steps)
                {
                    Guarded(step);
                }

                if (!_isOver && _waitNs > 0)
                {
                    _wake.WaitOne((int)Math.Max(1, _waitNs / DeviceConfig.Ms));
                }
            }

            Guarded(End);
        }

        /// <summary>An error of this machine (a disk, a bug) is told, and must not end the app or the recording.</summary>
        private void Guarded(Action work)
        {
            try
            {
                work();
            }
            catch (Exception error)
            {
                // Whatever repeats at once must fill neither the log nor the processor.
                var words = "The recorder met an error and goes on: " + error.GetType().Name + ": " + error.Message;
                if (words != _told || Now() - _toldNs >= TellAgainNs)
                {
                    _told = words;
                    _toldNs = Now();
                    Trouble(words);
                }

                _wake.WaitOne(ErrorRestMs);
            }
        }

        private void Trouble(string words) => Shared.Tell(new ClientEvent(ClientEventKind.Trouble, words: words));

        private void LookAhead()
        {
            _waitNs = DeviceConfig.Ms; // if what follows fails
            _isOver = _isClosing && (_machine == null || _machine.IsIdle || Now() >= _closeAtNs);
            _waitNs = WaitNs();
        }

        /// <summary>The machine's time never runs backwards, whatever the clock does.</summary>
        private long Now() => _lastNs = Math.Max(_lastNs, _clockNs());

        private long WaitNs()
        {
            if (_hasMore)
            {
                return 0;
            }

            var nowNs = _clockNs();
            var wakeNs = nowNs + LongestWaitNs;
            if (_machine != null)
            {
                wakeNs = Math.Min(wakeNs, _machine.WakeAt);
            }

            if (_pairing != null)
            {
                wakeNs = Math.Min(wakeNs, _pairNs);
            }

            if (_isClosing)
            {
                wakeNs = Math.Min(wakeNs, _closeAtNs);
            }

            if (Shared.Recording)
            {
                // Samples in the queue have no due time of their own: they are numbered well before their linger ends.
                wakeNs = Math.Min(wakeNs, nowNs + Math.Max(5 * DeviceConfig.Ms, _options.LingerMs * DeviceConfig.Ms / 4));
            }

            return wakeNs - nowNs;
        }
    }
}
