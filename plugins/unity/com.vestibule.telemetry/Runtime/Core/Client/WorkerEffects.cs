using System;
using System.Collections.Generic;
using System.IO;
using System.Security.Cryptography;

namespace Vestibule
{
    /// <content>What the machine asks for.</content>
    internal sealed partial class Worker : IEffects
    {
        private const long ReopenNs = 15_000 * DeviceConfig.Ms; // silence after which the socket itself is suspected

        private const long SpoolTellAgainNs = 60_000 * DeviceConfig.Ms;

        private readonly List<(uint Link, ulong Seq)> _spoolLosses = new List<(uint, ulong)>();
        private readonly byte[] _kept = new byte[Sizes.MaxDatagram];
        private long _spoolToldNs;
        private bool _isSavedAsAsked = true;
        private bool _saveFailed;
        private string _unreachable;
        private string _pairUnreachable;
        private long _openedNs;
        private long _lastHeardNs;
        private string _machineState = VisibleState.NotRecording;
        private string _machineReason = "not_started";
        private int _machineBehindS;

        public void Send(byte[] packet, int bytes, bool hello)
        {
            if (hello)
            {
                if (!_isSavedAsAsked)
                {
                    Save(); // it is being sent again: perhaps the disk takes the counter now
                }

                if (!_isSavedAsAsked)
                {
                    return; // a counter that is not kept must not be used: after a crash it would be used twice
                }

                var nowNs = Now();
                if (!_line.IsOpen || (nowNs - _lastHeardNs > ReopenNs && nowNs - _openedNs > ReopenNs))
                {
                    Reopen();
                }
            }

            _line.Send(packet, bytes);
        }

        public void PersistSeq(ulong helloSeq)
        {
            _identity.HelloSeq = helloSeq;
            Save();
        }

        public void PersistKey(byte[] key)
        {
            _identity.Key = key;
            Save();
        }

        public void Changed(string state, string reason, int behindS)
        {
            _machineState = state;
            _machineReason = reason;
            _machineBehindS = behindS;
            Show();
        }

        public void Commanded(ClientCommand command) =>
            Shared.Tell(new ClientEvent(ClientEventKind.Command, command: command));

        public void Recording(List<ulong> kinds)
        {
            if (kinds == null)
            {
                Shared.Permit(null);
                return;
            }

            var permitted = new bool[256];
            foreach (var kind in kinds)
            {
                if (kind < (ulong)permitted.Length)
                {
                    permitted[(int)kind] = true;
                }
            }

            Shared.Permit(permitted);
        }

        public void Keep(Link link, ulong seq, int samples, byte[] packet, int bytes) =>
            WithSpool(() => _spool.Keep(link, seq, samples, packet, bytes));

        public void SendKept(uint link, ulong seq)
        {
            var bytes = 0;
            WithSpool(() => bytes = _spool.Read(link, seq, _kept));
            if (bytes > 0)
            {
                _line.Send(_kept, bytes);
            }
            else
            {
                _spoolLosses.Add((link, seq)); // told after the machine's step
            }
        }

        public void Settled(uint link, ulong first, ulong last) => WithSpool(() => _spool.Settled(link, first, last));

        public void Dropped(uint link)
        {
            if (_spool != null)
            {
                WithSpool(() => _spool.Dropped(link));
            }
        }

        private void KeepOnce()
        {
            for (var at = 0; at < _spoolLosses.Count; at++)
            {
                _machine?.SpoolLost(_spoolLosses[at].Link, _spoolLosses[at].Seq, Now());
            }

            _spoolLosses.Clear();
        }

        /// <summary>What fails is told once, until it has worked for a while. What is not in the spool is found missing
        /// when it is wanted, and counted then.</summary>
        private void WithSpool(Action work)
        {
            try
            {
                work();
            }
            catch (Exception error)
            {
                // Runtimes name the errors of a disk differently (a file that may grow no more is an argument to some).
                if (_spoolToldNs == 0 || Now() - _spoolToldNs >= SpoolTellAgainNs)
                {
                    Trouble("Data cannot be kept on this device: " + error.Message + ". Free some storage on it.");
                }

                _spoolToldNs = Now();
            }
        }

        private void Save()
        {
            _isSavedAsAsked = false; // whatever happens
            _isSavedAsAsked = TrySave(_identity);
        }

        private bool TrySave(Identity identity)
        {
            try
            {
                identity.Save(_folder);
                _saveFailed = false;
                return true;
            }
            catch (Exception error)
            {
                // Whatever it was: a counter that is not kept must not be used.
                if (!_saveFailed)
                {
                    Trouble("This device cannot write its identity and so cannot connect: " + error.Message +
                            ". Free some storage on it.");
                }

                _saveFailed = true;
                return false;
            }
        }

        private void Reopen()
        {
            if (_identity == null)
            {
                return;
            }

            _openedNs = Now();
            _line.Open(Host(_identity.Host), Port(_identity.Port));
        }

        /// <summary>Why the gateway cannot be reached is told once, not with each HELLO.</summary>
        private void TellWrong(string wrong, ref string told)
        {
            if (wrong != null && wrong != told)
            {
                Trouble("The gateway cannot be reached: " + wrong + ". Check its address and the Wi-Fi.");
            }

            told = wrong;
        }

        private string Host(string known) => known.Length > 0 ? known : _options.Host;

        private int Port(int known) => known > 0 ? known : _options.Port;

        private void MakeMachine()
        {
            _machine = null;
            _spool?.Dispose();
            _spool = null;
            Shared.Permit(null);
            var machine = new Machine(
                DeviceConfig.Of(_options, _identity.Device, _identity.Key, _identity.NextHello, _run), bytes => RandomNumberGenerator.Fill(bytes), this);
            _machineState = VisibleState.NotRecording;
            _machineReason = "not_started";
            _machineBehindS = 0;
            _machine = machine;
            if (_options.Spool)
            {
                _spool = new SpoolStore(_folder, _identity.Device);
                WithSpool(() => machine.Restore(_spool.Load(), Now()));
            }

            if (_wanted)
            {
                Reopen();
                machine.Start(Now());
            }

            Show();
        }

        /// <summary>Shows the machine's state, or what stands before it.</summary>
        private void Show()
        {
            var state = _machineState;
            var reason = _machineReason;
            var behindS = _machineBehindS;
            if (state == VisibleState.NotRecording && _pairing != null)
            {
                reason = _pairUnreachable != null ? "pair_no_address"
                    : _pairSends > PairNoAnswerSends ? "pair_no_answer" : "pairing";
            }
            else if (_identity == null)
            {
                reason = _wanted || _hasPaired ? "not_paired" : "not_started";
            }

            if (!Shared.State.Is(state, reason, behindS))
            {
                Shared.Show(new VisibleState(state, reason, behindS));
            }
        }
    }
}
