using System.Collections.Generic;
using System.Threading;

namespace Vestibule
{
    /// <summary>What passes from the worker to the app: state, permits, events, figures. All reads are cheap.</summary>
    internal sealed class Shared
    {
        private const int MaxEvents = 256;

        private static readonly bool[] None = new bool[256];

        private readonly Queue<ClientEvent> _events = new Queue<ClientEvent>();
        private volatile VisibleState _state =
            new VisibleState(VisibleState.NotRecording, "not_started", 0);

        private volatile ClientStatus _status;
        private volatile bool _recording;
        private volatile int _recordings;
        private volatile bool[] _permitted = None;
        private int _asked = 1;

        public Shared()
        {
            _status = new ClientStatus(_state);
        }

        public VisibleState State => _state;

        public bool Recording => _recording;

        public int Recordings => _recordings;

        public bool Permits(byte kind) => _permitted[kind];

        public ClientStatus Status()
        {
            Volatile.Write(ref _asked, 1);
            return _status;
        }

        public bool TryDequeue(out ClientEvent e)
        {
            lock (_events)
            {
                e = _events.Count > 0 ? _events.Dequeue() : null;
            }

            return e != null;
        }

        // The worker's side.

        /// <summary>Whether somebody looked at the figures since they were told last.</summary>
        public bool TakeAsked() => Interlocked.Exchange(ref _asked, 0) != 0;

        public void Tell(ClientStatus status) => _status = status;

        public void Tell(ClientEvent e)
        {
            lock (_events)
            {
                if (_events.Count >= MaxEvents)
                {
                    _events.Dequeue();
                }

                _events.Enqueue(e);
            }
        }

        public void Show(VisibleState state)
        {
            _state = state;
            Tell(new ClientEvent(ClientEventKind.State, state));
        }

        /// <summary>The kinds that may be captured from now on; null while nothing is recorded.</summary>
        public void Permit(bool[] kinds)
        {
            _permitted = kinds ?? None;
            _recording = kinds != null;
            if (kinds != null)
            {
                _recordings++; // only the worker writes it
            }
        }
    }
}
