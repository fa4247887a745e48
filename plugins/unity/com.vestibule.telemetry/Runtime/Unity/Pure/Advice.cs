namespace Vestibule.Unity
{
    /// <summary>
    /// Tells once, after a while, that a kind is permitted and its source gives nothing: usually a permission that
    /// the app has to ask the person for, or a feature that is switched off.
    /// </summary>
    public sealed class Advice
    {
        /// <summary>How long a source may be silent before something is said.</summary>
        public const long PatienceNs = 5_000_000_000;

        /// <summary>What to say about eyes.</summary>
        public const string Eyes =
            "Vestibule: this session permits gaze, and no eye tracker reports. Nothing is recorded for it. Check that the"
            + " headset has one; that Eye Gaze Interaction is enabled under XR Plug-in Management > OpenXR; and that the"
            + " app asked for the permission (Meta: com.oculus.permission.EYE_TRACKING, Android XR:"
            + " android.permission.EYE_TRACKING_FINE, Pico: com.picovr.permission.EYE_TRACKING). Asking is the app's part.";

        /// <summary>What to say about hands.</summary>
        public const string Hands =
            "Vestibule: this session permits hands, and no hand tracking subsystem runs. Nothing is recorded for it. Check"
            + " that the package XR Hands (com.unity.xr.hands) is installed, that Hand Tracking Subsystem is enabled under"
            + " XR Plug-in Management > OpenXR, and that hand tracking is switched on in the headset.";

        private readonly string _words;
        private long _silentSince = -1;
        private bool _told;

        /// <summary>Makes one.</summary>
        public Advice(string words)
        {
            _words = words;
        }

        /// <summary>Called once a frame while the kind is permitted.</summary>
        /// <returns>The words, once; null otherwise.</returns>
        public string Look(bool present, long nowNs)
        {
            if (present || _told)
            {
                _silentSince = -1;
                return null;
            }
            if (_silentSince < 0)
            {
                _silentSince = nowNs;
            }
            if (nowNs - _silentSince < PatienceNs)
            {
                return null;
            }
            _told = true;
            return _words;
        }
    }
}
