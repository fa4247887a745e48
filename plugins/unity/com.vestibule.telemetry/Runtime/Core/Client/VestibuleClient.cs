using System;

namespace Vestibule
{
    /// <summary>
    /// The recorder as an app sees it: pairing, start and stop, capture, what to show.
    /// </summary>
    /// <remarks>
    /// All work (protocol, keys, sockets, files) is done by threads of its own. Every member returns at once, except
    /// <see cref="Close"/> and <see cref="Dispose"/>, which wait for as long as they are told. Nothing that comes from
    /// the network throws. <see cref="Capture"/> may be called from any thread, all else from one, the main thread.
    /// </remarks>
    public sealed class VestibuleClient : IDisposable
    {
        private readonly Worker _worker;

        /// <summary>Makes the recorder and starts its threads; nothing is sent before <see cref="Start"/> or <see cref="Pair"/>.</summary>
        /// <param name="options">How it works.</param>
        /// <param name="privateFolder">A folder that only this app can read; identity and spool stand in it.</param>
        /// <param name="clockNs">Device time in nanoseconds, monotonic, from any thread; null takes <see cref="MonotonicClock.NowNs"/>.</param>
        /// <exception cref="ArgumentException">An option is out of its range, or there is no folder.</exception>
        public VestibuleClient(ClientOptions options, string privateFolder, Func<long> clockNs = null)
        {
            if (options == null)
            {
                throw new ArgumentNullException(nameof(options));
            }

            if (string.IsNullOrEmpty(privateFolder))
            {
                throw new ArgumentException("privateFolder is empty: give a folder that only this app can read.", nameof(privateFolder));
            }

            _worker = new Worker(options, privateFolder, clockNs ?? MonotonicClock.NowNs);
            _worker.Begin();
        }

        /// <summary>What a person should see at present.</summary>
        public VisibleState State => _worker.Shared.State;

        /// <summary>Whether samples that are captured now are taken. Costs one read.</summary>
        public bool Recording => _worker.Shared.Recording;

        /// <summary>
        /// How many links began to record so far. When it grows, streams may begin anew (another session), so they are to
        /// be described again; the state alone does not tell, where one recording link follows another. Costs one read.
        /// </summary>
        public int Recordings => _worker.Shared.Recordings;

        /// <summary>The time of the device in nanoseconds: what records are to be stamped with.</summary>
        public long NowNs() => _worker.NowNs();

        /// <summary>Whether the session permits samples of a kind; false while nothing is recorded. Costs two reads.</summary>
        /// <param name="kind">A number of <see cref="Kinds"/>.</param>
        public bool Permits(byte kind) => _worker.Shared.Permits(kind);

        /// <summary>
        /// Begins a pairing. It ends with an event: <see cref="ClientEventKind.Paired"/>, or a state with its words.
        /// </summary>
        /// <param name="text">What a person typed: a code of 26 letters and digits (spaces and hyphens allowed; host and
        /// port are then those that are known), or <c>vestibule://HOST:PORT/CODE</c>.</param>
        /// <param name="name">What the device calls itself, at most 64 bytes; empty takes <see cref="ClientOptions.Name"/>.</param>
        public void Pair(string text, string name = "") => _worker.Give(Order.Pair(text ?? "", name ?? ""));

        /// <summary>
        /// Takes a pair file or a key file, as <c>vestibule pair --out</c> and <c>vestibule device add --out</c> write
        /// them. The file stays where it is; what is wrong with it is told by <see cref="ClientEventKind.Trouble"/>.
        /// </summary>
        /// <param name="path">The file.</param>
        public void TakeFile(string path) => _worker.Give(Order.TakeFile(path ?? ""));

        /// <summary>The app wants to record. Without an identity the state says <c>not_paired</c>, and recording begins after the pairing.</summary>
        public void Start() => _worker.Give(Order.Start());

        /// <summary>Stops capturing for a while. What was captured drains.</summary>
        /// <param name="reason"><c>pause</c> or <c>sleep</c>.</param>
        public void Pause(string reason = "pause") => _worker.Give(Order.Cease(OrderKind.Pause, Checked(reason)));

        /// <summary>Captures again after <see cref="Pause"/>: a new socket and a new link, the same session and sample numbers.</summary>
        public void Resume() => _worker.Give(Order.Resume());

        /// <summary>Stops capturing. What was captured drains.</summary>
        /// <param name="reason"><c>end</c>, <c>stop</c> or <c>error</c>.</param>
        public void Stop(string reason = "end") => _worker.Give(Order.Cease(OrderKind.Stop, Checked(reason)));

        /// <summary>
        /// Takes samples in: a copy into preallocated memory under a short lock. While nothing is recorded, or where the
        /// session does not permit the kind, they are counted and not kept. When the queue is full they keep their
        /// numbers and count as lost by <c>overflow</c>.
        /// </summary>
        /// <param name="stream">Chosen by the app for this run; 65,535 is the clock's.</param>
        /// <param name="kind">A number of <see cref="Kinds"/>.</param>
        /// <param name="record">Records as <see cref="Records"/> writes them; may be written again at once.</param>
        /// <param name="count">How many; 1 for kinds of variable size.</param>
        /// <exception cref="ArgumentException">The bytes are not that many records of that kind.</exception>
        public void Capture(ushort stream, byte kind, ReadOnlySpan<byte> record, int count = 1) =>
            _worker.Capture(stream, kind, record, count);

        /// <summary>Counters and sizes, at most a quarter of a second old while this is called that often.</summary>
        public ClientStatus Status() => _worker.Shared.Status();

        /// <summary>Takes the oldest event that was not taken yet. An app that never asks loses the oldest beyond 256.</summary>
        /// <param name="e">The event, or null.</param>
        /// <returns>Whether there was one.</returns>
        public bool TryDequeue(out ClientEvent e) => _worker.Shared.TryDequeue(out e);

        /// <summary>Ends the link (BYE), waits for receipts for <see cref="ClientOptions.CloseMs"/>, keeps the rest in the spool if there is one, and ends the threads.</summary>
        public void Dispose() => Close(_worker.CloseMs, true);

        /// <summary>Ends the threads; the object is of no use afterwards. A second call does nothing.</summary>
        /// <param name="waitMs">Longest wait for receipts.</param>
        /// <param name="sayBye">False: nothing more is sealed or sent, as when the app is killed.</param>
        public void Close(int waitMs, bool sayBye) => _worker.Close(Math.Max(0, waitMs), sayBye);

        private static string Checked(string reason)
        {
            if (!Bye.IsReason(reason))
            {
                throw new ArgumentException(
                    "'" + reason + "' is no reason: use one of end, pause, sleep, stop, error.", nameof(reason));
            }

            return reason;
        }
    }
}
