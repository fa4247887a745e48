using System;

namespace Vestibule
{
    /// <content>What is due, when to wake, and what a person sees.</content>
    internal sealed partial class Machine
    {
        private const long Second = 1_000 * DeviceConfig.Ms;
        private const int BehindAfterS = 5; // five seal intervals: receipts are late, not merely on their way
        private const int BehindStepS = 5; // so that a display is not told every second

        /// <summary>After every event: what is due, what has changed for people, and when to wake.</summary>
        private void After(long nowNs)
        {
            Due(nowNs);
            TellRecording();
            Show(nowNs);
            Plan(nowNs);
        }

        /// <summary>Tells at the end of a step only: where one link takes the place of another, an app that looked
        /// between the two would leave out a sample.</summary>
        private void TellRecording()
        {
            if (_recording == _told)
            {
                return;
            }

            _told = _recording;
            _effects.Recording(_recording == null ? null : _kinds);
        }

        private void Due(long nowNs)
        {
            if (nowNs >= _gather.DueNs)
            {
                Flush(nowNs);
            }

            if (_current != null)
            {
                Probe(nowNs);
            }

            if (_greeter.Pending != null)
            {
                _greeter.Again(Links, nowNs);
            }
            else if (nowNs >= _greeter.RetryNs)
            {
                _greeter.Begin("retry", Links.Numbers(), nowNs);
            }
            else if (_current != null && _current.IsSilent(nowNs))
            {
                _greeter.Begin("recover", Links.Numbers(), nowNs);
            }
            else if (Links.AreFinished)
            {
                Links.Told();
                _greeter.Begin("finished", Links.Numbers(), nowNs);
            }
            else if (Links.Ask(nowNs))
            {
                _greeter.Begin("ask", Links.Numbers(), nowNs);
            }

            Links.Keep(nowNs);
            Links.Resend(nowNs);
        }

        private void Probe(long nowNs)
        {
            var sends = _probes.Poll(nowNs, out var over, out var best);
            if (sends)
            {
                var to = new MsgWriter(_scratch, Sizes.Header);
                Uplink.Probe(ref to, nowNs);
                Send(_current.Seal(PacketType.Sync, _scratch, to.At, nowNs));
            }

            if (over)
            {
                HasClock = true;
                Clock = best;
                best.Write(_clockSample);
                Capture(DeviceConfig.ClockStream, Kinds.Clock, _clockSample, 1, nowNs);
            }
        }

        /// <summary>Sets <see cref="WakeAt"/>: everything that <see cref="Due"/> looks at, at its earliest.</summary>
        private void Plan(long nowNs)
        {
            var wake = Math.Min(_gather.DueNs, _probes == null ? Never : _probes.NextNs);
            if (_greeter.Pending != null)
            {
                wake = Math.Min(wake, _greeter.Pending.WakeNs);
            }
            else
            {
                wake = Math.Min(wake, _greeter.RetryNs);
                wake = Math.Min(wake, _current == null ? Never : _current.HeardNs + _config.SilenceNs);
                wake = Math.Min(wake, Links.AreFinished ? nowNs : Links.NextAskNs());
            }

            WakeAt = Math.Min(wake, Links.NextResendNs(nowNs));
        }

        private void Show(long nowNs)
        {
            var state = VisibleState.NotRecording;
            var reason = "";
            var behindS = 0L;
            if (_current == null)
            {
                reason = _wanted && _greeter.IsUnanswered ? "no_answer" : _why;
            }
            else if (!_current.IsRecording)
            {
                state = VisibleState.Waiting;
                reason = _current.Reason;
            }
            else
            {
                behindS = Links.BehindNs(nowNs) / Second;
                behindS -= behindS % BehindStepS;
                var isBehind = behindS >= BehindAfterS || _current.Hold != null;
                state = isBehind ? VisibleState.Behind : VisibleState.Recording;
                reason = !isBehind ? "" : _current.Hold ?? (_current.IsSilent(nowNs) ? "no_answer" : "backlog");
                behindS = isBehind ? behindS : 0;
            }

            if (state != _shownState || reason != _shownReason || behindS != _shownBehindS)
            {
                _shownState = state;
                _shownReason = reason;
                _shownBehindS = (int)behindS;
                _effects.Changed(state, reason, (int)behindS);
            }
        }
    }
}
