namespace Vestibule
{
    /// <summary>What a person at the headset should see. Immutable.</summary>
    public sealed class VisibleState
    {
        /// <summary>The session records, and receipts come.</summary>
        public const string Recording = "recording";

        /// <summary>The gateway answers, and no session is open for this device.</summary>
        public const string Waiting = "waiting";

        /// <summary>It records, and receipts are late; nothing is lost yet.</summary>
        public const string Behind = "behind";

        /// <summary>Nothing is recorded; <see cref="Reason"/> says why.</summary>
        public const string NotRecording = "not_recording";

        internal VisibleState(string state, string reason, int behindS)
        {
            State = state;
            Reason = reason;
            BehindS = behindS;
            Words = Vestibule.Words.Of(state, reason, behindS);
        }

        /// <summary>For a sign where there is no client: nothing is recorded.</summary>
        /// <param name="reason">A word of <see cref="Vestibule.Words"/>.</param>
        public static VisibleState Off(string reason) => new VisibleState(NotRecording, reason, 0);

        /// <summary>One of the four constants.</summary>
        public string State { get; }

        /// <summary>A word of <see cref="Vestibule.Words"/>; empty while recording.</summary>
        public string Reason { get; }

        /// <summary>While behind: age in seconds of the oldest packet without a receipt, in steps of 5; else 0.</summary>
        public int BehindS { get; }

        /// <summary>The same as a sentence for the patient and the staff.</summary>
        public string Words { get; }

        internal bool Is(string state, string reason, int behindS) =>
            State == state && Reason == reason && BehindS == behindS;
    }
}
