using UnityEngine;

namespace Vestibule.Unity
{
    /// <summary>Whether losing the focus pauses the recording.</summary>
    public enum FocusRule
    {
        /// <summary>On standalone headsets yes (there a system menu takes over), elsewhere no (staff click beside the window).</summary>
        Automatic,

        /// <summary>Yes, everywhere.</summary>
        Always,

        /// <summary>No, nowhere.</summary>
        Never,
    }

    /// <summary>
    /// The project's settings: an asset <c>Resources/VestibuleSettings</c>, made and edited under Project Settings >
    /// Vestibule Telemetry. Holds no secret: keys come by pairing and stand in the app's private folder.
    /// </summary>
    public sealed class VestibuleSettings : ScriptableObject
    {
        /// <summary>Name of the asset below a Resources folder.</summary>
        public const string AssetName = "VestibuleSettings";

        [Header("Gateway")]
        [Tooltip("Name or address of the gateway. A pairing link, a pair file or a key file goes before it.")]
        [SerializeField] private string host = "";
        [Tooltip("Its UDP port.")]
        [SerializeField] private int port = 4747;
        [Tooltip("What the headset calls itself when it pairs: 'room 2 left'. Never the name of a person.")]
        [SerializeField] private string deviceName = "";

        [Header("Life")]
        [Tooltip("Make the telemetry object when the app starts, and record when a session is open.")]
        [SerializeField] private bool startByItself = true;
        [SerializeField] private FocusRule pauseWithoutFocus = FocusRule.Automatic;
        [Tooltip("Seconds off the head before the recording pauses.")]
        [SerializeField, Range(0f, 60f)] private float offHeadSeconds = 3f;

        [Header("What is captured, if the session permits it")]
        [SerializeField] private bool head = true;
        [SerializeField] private bool controllers = true;
        [SerializeField] private bool buttons = true;
        [SerializeField] private bool hands = true;
        [SerializeField] private bool gaze = true;

        [Header("What the gateway may ask for")]
        [SerializeField] private bool acceptHaptic = true;
        [SerializeField] private bool acceptMarker = true;
        [Tooltip("Only where the scene shows it: a VestibuleStatus, or your own listener of TextReceived.")]
        [SerializeField] private bool acceptText = false;

        [Header("Outages")]
        [Tooltip("Keep sealed packets in the app's private folder when the gateway does not answer. They stay on the headset until delivered: ask before you use it.")]
        [SerializeField] private bool spool = false;
        [SerializeField, Range(1, 4096)] private int spoolMegabytes = 256;

        /// <summary>Name or address of the gateway; may be empty until the pairing.</summary>
        public string Host => host;

        /// <summary>Its UDP port.</summary>
        public int Port => port;

        /// <summary>What the headset calls itself.</summary>
        public string DeviceName => deviceName;

        /// <summary>Whether the telemetry object is made, and begins, when the app starts.</summary>
        public bool StartByItself => startByItself;

        /// <summary>How long the headset must be off the head, in nanoseconds.</summary>
        public long OffHeadNs => (long)(offHeadSeconds * 1e9f);

        /// <summary>Whether poses of the head are captured.</summary>
        public bool Head => head;

        /// <summary>Whether poses of controllers are captured.</summary>
        public bool Controllers => controllers;

        /// <summary>Whether changes of buttons are captured.</summary>
        public bool Buttons => buttons;

        /// <summary>Whether hand joints are captured.</summary>
        public bool Hands => hands;

        /// <summary>Whether the engine's own gaze is captured; gaze that the app hands over is, in any case.</summary>
        public bool Gaze => gaze;

        /// <summary>Whether losing the focus pauses, on this machine.</summary>
        public bool FocusMatters =>
            pauseWithoutFocus == FocusRule.Always
            || (pauseWithoutFocus == FocusRule.Automatic && Application.isMobilePlatform);

        /// <summary>The asset of this project, or one with the defaults where there is none.</summary>
        public static VestibuleSettings Load()
        {
            var found = Resources.Load<VestibuleSettings>(AssetName);
            return found != null ? found : CreateInstance<VestibuleSettings>();
        }

        /// <summary>The options of the client.</summary>
        public ClientOptions ToOptions()
        {
            var verbs = new System.Collections.Generic.List<string>(3);
            if (acceptHaptic)
            {
                verbs.Add("haptic");
            }
            if (acceptText)
            {
                verbs.Add("text");
            }
            if (acceptMarker)
            {
                verbs.Add("marker");
            }
            return new ClientOptions
            {
                Host = host.Trim(),
                Port = port,
                Name = deviceName.Trim(),
                Spool = spool,
                SpoolBytes = spoolMegabytes * 1024L * 1024L,
                Commands = verbs,
                WatchFolder = Folders.Watched(),
            };
        }
    }
}
