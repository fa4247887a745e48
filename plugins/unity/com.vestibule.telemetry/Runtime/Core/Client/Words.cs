namespace Vestibule
{
    /// <summary>Reason -> sentence, for the patient and the staff.</summary>
    public static class Words
    {
        private const string LooksTheSame =
            " A wrong address, a gateway that is off and a wrong key look the same on purpose. Check the Wi-Fi and the" +
            " gateway's address; `vestibule status` on the gateway names devices with bad tags; if it names this one," +
            " pair it again.";

        /// <summary>The sentence for what <see cref="VisibleState"/> says.</summary>
        /// <param name="state">One of its four states.</param>
        /// <param name="reason">Its reason.</param>
        /// <param name="behindS">Its seconds.</param>
        public static string Of(string state, string reason, int behindS)
        {
            switch (state)
            {
                case VisibleState.Recording: return "Recording.";
                case VisibleState.Waiting: return Waiting(reason);
                case VisibleState.Behind: return Behind(reason, behindS);
                default: return NotRecording(reason);
            }
        }

        private static string Waiting(string reason) =>
            reason == "no_session"
                ? "Waiting: the gateway answers, and no session is open for this device. Staff open one."
                : "Waiting: " + reason + ".";

        private static string Behind(string reason, int behindS)
        {
            switch (reason)
            {
                case "disk_full":
                    return "Recording, but the gateway's disk is full: what is recorded is kept here until staff make" +
                           " room on the gateway.";
                case "no_answer":
                    return "Recording, but the gateway has not answered for " + Seconds(behindS) + ": what is recorded is" +
                           " kept here and follows." + LooksTheSame;
                default:
                    // Also the first seconds of an outage, before it counts as no answer.
                    return "Recording, " + Seconds(behindS) + " behind: receipts come late, since the network is slow or the" +
                           " gateway went away just now; nothing is lost so far.";
            }
        }

        // Told in steps of five: in the first of them there is no number to say.
        private static string Seconds(int behindS) => behindS > 0 ? behindS + " s" : "some seconds";

        private static string NotRecording(string reason)
        {
            switch (reason)
            {
                case "not_started": return "Not recording: the app has not started the recording.";
                case "not_paired":
                    return "Not recording: this device is not paired. Staff run `vestibule pair` on the gateway and give" +
                           " the code here.";
                case "pairing": return "Not recording: pairing with the gateway.";
                case "pair_no_answer":
                    return "Not recording: no answer to the pairing yet; it goes on asking. The code may be mistyped, used or" +
                           " older than 10 minutes: ask staff for a new one." + LooksTheSame;
                case "pair_no_address":
                    return "Not recording: the gateway is not found under the name or address that was given, so the pairing" +
                           " did not reach it. Check the Wi-Fi, or pair again with the right name.";
                case "connecting": return "Not recording yet: connecting to the gateway.";
                case "no_answer": return "Not recording: the gateway does not answer." + LooksTheSame;
                case "closed": return "Not recording: staff closed the session.";
                case "withdrawn": return "Not recording: consent was withdrawn. Nothing more is stored.";
                case "revoked":
                    return "Not recording: the gateway no longer accepts this device. Staff pair it again.";
                case "version":
                    return "Not recording: the gateway speaks no version of the protocol that this app speaks. Update" +
                           " the older of the two.";
                case "ended": return "Not recording: the gateway ended the link; connecting again.";
                case "moved": return "Not recording: the gateway moved; connecting again.";
                case "pause": return "Not recording: paused.";
                case "sleep": return "Not recording: the headset slept.";
                case "stop": return "Not recording: the recording was stopped.";
                case "end": return "Not recording: the recording has ended.";
                case "error": return "Not recording: the app ended the recording because of an error.";
                default: return "Not recording: " + reason + ".";
            }
        }
    }
}
