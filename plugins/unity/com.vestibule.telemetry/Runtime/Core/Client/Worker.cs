using System;
using System.Collections.Generic;
using System.IO;
using System.Security.Cryptography;
using System.Threading;

namespace Vestibule
{
    /// <summary>
    /// The thread that does everything: runs the machine, performs what it asks for, and takes orders. The app's threads
    /// reach it only through the queue of samples, the list of orders and <see cref="Shared"/>.
    /// </summary>
    internal sealed partial class Worker
    {
        private const int MaxOrders = 64;
        private const int MostTaken = 8_192; // a worker that is given more than it can send still looks at receipts
        private const int WorthWakingBytes = 16 * 1024;
        private const long StatusEveryNs = 250 * DeviceConfig.Ms;
        private const long LongestWaitNs = 1_000 * DeviceConfig.Ms;
        private const long TellAgainNs = 10_000 * DeviceConfig.Ms;
        private const int ErrorRestMs = 20;
        private const int JoinMs = 3_000; // above the waits of files; names are found elsewhere

        private readonly ClientOptions _options;
        private readonly string _folder;
        private readonly Func<long> _clockNs;
        private readonly CaptureQueue _queue;
        private readonly Queue<Order> _orders = new Queue<Order>();
        private readonly AutoResetEvent _wake = new AutoResetEvent(false);
        private readonly Thread _thread;
        private readonly UdpLine _line;
        private readonly UdpLine _pairLine;
        private readonly byte[] _packet = new byte[Sizes.MaxDatagram + 1];
        private readonly long[] _withheld = new long[256];
        private readonly ulong _run;
        private Machine _machine;
        private SpoolStore _spool;
        private Identity _identity;
        private bool _wanted;
        private bool _isClosing;
        private long _closeAtNs;
        private long _lastNs = long.MinValue;
        private long _statusNs;
        private long _unrecorded;
        private int _closed;
        private string _told;
        private long _toldNs;
        private bool _isOver;
        private bool _hasMore;
        private long _waitNs;

        public Worker(ClientOptions options, string folder, Func<long> clockNs)
        {
            DeviceConfig.Check(options);
            _options = options;
            _folder = folder;
            _clockNs = clockNs;
            _queue = new CaptureQueue(options.QueueBytes, options.LingerMs < 20 ? 1 : WorthWakingBytes);
            _line = new UdpLine(clockNs, Wake);
            _pairLine = new UdpLine(clockNs, Wake);
            _thread = new Thread(Run) { IsBackground = true, Name = "vestibule" };
            CloseMs = options.CloseMs;
            var run = new byte[8];
            RandomNumberGenerator.Fill(run);
            _run = BitConverter.ToUInt64(run, 0);
        }

        public Shared Shared { get; } = new Shared();

        public int CloseMs { get; }

        // The app's side.

        public void Begin() => _thread.Start();

        public long NowNs() => _clockNs();

        public void Give(Order order)
        {
            lock (_orders)
            {
                // An app that gives orders without end is not to fill the memory; its last one counts.
                if (_orders.Count >= MaxOrders)
                {
                    _orders.Dequeue();
                }

                _orders.Enqueue(order);
            }

            Wake();
        }

        public void Capture(ushort stream, byte kind, ReadOnlySpan<byte> record, int count)
        {
            var size = Kinds.RecordBytes(kind);
            var isWhole = Kinds.IsVariable(kind)
                ? count == 1 && record.Length >= size && record.Length <= Sizes.MaxDatagram
                : count >= 1 && size > 0 && record.Length == (long)count * size && record.Length <= _queue.MostBytes;
            if (!isWhole || stream == DeviceConfig.ClockStream)
            {
                throw new ArgumentException(
                    record.Length + " bytes are not " + count + " records of kind " + kind + " on an app's stream: give whole" +
                    " records of Records, one at a time for kinds of variable size, on a stream of 0 to 65,534.");
            }

            if (!Shared.Recording)
            {
                Interlocked.Add(ref _unrecorded, count);
            }
            else if (!Shared.Permits(kind))
            {
                Interlocked.Add(ref _withheld[kind], count);
            }
            else if (_queue.Write(stream, kind, record, count))
            {
                Wake();
            }
        }

        public void Close(int waitMs, bool sayBye)
        {
            if (Interlocked.Exchange(ref _closed, 1) != 0)
            {
                return;
            }

            Give(Order.Close(waitMs, sayBye));
            _thread.Join(waitMs + JoinMs);
        }

        // The thread.

        private void Wake() => _wake.Set();

        private void Open()
        {
            _watchNs = Now();
            _lastHeardNs = Now();
            try
            {
                _identity = Identity.Load(_folder);
            }
            catch (Exception error) when (error is IOException || error is UnauthorizedAccessException)
            {
                Trouble("Who this device is cannot be read: " + error.Message + ". Pair it again.");
            }

            if (_identity != null)
            {
                MakeMachine();
            }
        }

        private void TickOnce()
        {
            var nowNs = Now();
            if (_machine != null && nowNs >= _machine.WakeAt)
            {
                _machine.Tick(nowNs);
            }
        }

        private void TellOnce()
        {
            if (_line.TryTakeOutcome(out var wrong))
            {
                TellWrong(wrong, ref _unreachable);
            }

            if (_pairLine.TryTakeOutcome(out wrong))
            {
                TellWrong(wrong, ref _pairUnreachable);
                Show();
            }

            var nowNs = Now();
            if (nowNs >= _statusNs && Shared.TakeAsked())
            {
                _statusNs = nowNs + StatusEveryNs;
                Shared.Tell(Figures());
            }
        }

        private void End()
        {
            Shared.Permit(null);
            _line.Dispose();
            _pairLine.Dispose();
            _pairing?.Dispose();
            _machine?.Links.Keep(Now(), true);
            _spool?.Dispose();
        }

        private void TakeCaptured()
        {
            _hasMore = true;
            for (var taken = 0; taken < MostTaken; taken++)
            {
                if (!_queue.TryPeek(out var captured))
                {
                    _hasMore = false;
                    return;
                }

                try
                {
                    Give(captured);
                }
                finally
                {
                    _queue.Advance(captured); // also what fails: else it would stand before all others for ever
                }
            }
        }

        private void Give(in Captured captured)
        {
            var nowNs = Now();
            if (_machine == null)
            {
                Interlocked.Add(ref _unrecorded, captured.Count);
            }
            else if (captured.IsMissed)
            {
                _machine.Missed(captured.Stream, captured.Kind, captured.Count, nowNs);
            }
            else
            {
                _machine.Capture(
                    captured.Stream,
                    captured.Kind,
                    new ReadOnlySpan<byte>(_queue.Buffer, captured.At, captured.Bytes),
                    captured.Count,
                    nowNs);
            }
        }

        private void TakePackets()
        {
            for (var taken = 0; taken < 256; taken++)
            {
                var bytes = _line.Inbox.Take(_packet, out var atNs);
                if (bytes < 0)
                {
                    return;
                }

                // The moment of arrival, for the clock; never before what the machine was told last.
                _lastNs = Math.Max(_lastNs, atNs);
                _lastHeardNs = _lastNs;
                _machine?.Received(_packet, bytes, _lastNs);
            }
        }

        private void TakeOrders()
        {
            while (true)
            {
                Order order;
                lock (_orders)
                {
                    if (_orders.Count == 0)
                    {
                        return;
                    }

                    order = _orders.Dequeue();
                }

                TakeCaptured(); // what was captured before the order belongs before it
                Obey(order);
            }
        }

        private void Obey(Order order)
        {
            switch (order.Kind)
            {
                case OrderKind.Pair:
                    Pair(order.Text, order.Name);
                    break;
                case OrderKind.TakeFile:
                    var wrong = TakeFile(order.Text);
                    if (wrong != null)
                    {
                        Trouble(wrong);
                    }

                    break;
                case OrderKind.Start:
                case OrderKind.Resume:
                    if (!_wanted || order.Kind == OrderKind.Resume)
                    {
                        Reopen(); // a socket from before the sleep may lead nowhere
                    }

                    _wanted = true;
                    _machine?.Start(Now());
                    break;
                case OrderKind.Pause:
                case OrderKind.Stop:
                    _wanted = false;
                    _machine?.Cease(order.Text, Now());
                    break;
                default:
                    _isClosing = true;
                    _closeAtNs = Now() + (order.SayBye ? order.WaitMs * DeviceConfig.Ms : 0);
                    if (order.SayBye && _wanted)
                    {
                        _machine?.Cease("end", Now());
                    }

                    _wanted = false;
                    break;
            }

            Show();
        }
    }
}
