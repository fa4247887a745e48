using System;
using System.Threading;
using UnityEngine;

namespace Vestibule.Unity
{
    /// <summary>
    /// The one telemetry object of an app: makes the client, tells it about pause and sleep, captures once a frame, and
    /// carries out the gateway's commands. Lives as long as the app.
    /// </summary>
    /// <remarks>
    /// Made by itself (<see cref="VestibuleSettings.StartByItself"/>), or by adding this component to an object. All
    /// members are for the main thread, except where they say otherwise.
    /// </remarks>
    [DisallowMultipleComponent]
    [DefaultExecutionOrder(-100)]
    public sealed partial class VestibuleTelemetry : MonoBehaviour
    {
        // The system may freeze the app as soon as OnApplicationPause returns: BYE has to be out by then.
        private const long ByeWaitNs = 150_000_000;

        private static readonly VisibleState Off = VisibleState.Off("error");

        private LifeSwitch _life;
        private FrameCapture _capture;
        private VestibuleClient _client;
        private Outlet _outlet;
        private bool _over;

        /// <summary>The object in use; null before it is made and after the app's end.</summary>
        public static VestibuleTelemetry Instance { get; private set; }

        /// <summary>What a person should see at present; never null. Without a client nothing is recorded, and that is what it says.</summary>
        public VisibleState State => _client != null ? _client.State : Off;

        /// <summary>Whether samples that are captured now are taken.</summary>
        public bool Recording => _client != null && _client.Recording;

        /// <summary>Counters and sizes, for staff and tests; null while there is no client.</summary>
        public ClientStatus Status => _client?.Status();

        /// <summary>A new state: its <see cref="VisibleState.Words"/> are what a person should read.</summary>
        public event Action<VisibleState> StateChanged;

        /// <summary>The device was paired, or took a key file; its number at the gateway.</summary>
        public event Action<uint> Paired;

        /// <summary>The gateway asks to show a text, as plain text. Only if the settings accept texts.</summary>
        public event Action<string> TextReceived;

        /// <summary>The gateway's marker was recorded: code and text.</summary>
        public event Action<ushort, string> MarkerReceived;

        /// <summary>Something is wrong at the device; a sentence that says what to do. It is logged too.</summary>
        public event Action<string> Trouble;

        /// <summary>The telemetry object; makes it where there is none.</summary>
        public static VestibuleTelemetry GetOrCreate() =>
            Instance != null ? Instance : new GameObject("Vestibule").AddComponent<VestibuleTelemetry>();

        /// <summary>Wants to record, from now on: whenever a session is open for this device.</summary>
        public void Begin()
        {
            if (_life != null)
            {
                Carry(_life.Begin(_client.NowNs()));
            }
        }

        /// <summary>Records no more until <see cref="Begin"/>. What was captured is still delivered.</summary>
        public void End()
        {
            if (_life != null)
            {
                Carry(_life.End());
            }
        }

        /// <summary>
        /// Pairs. The end of it is <see cref="Paired"/>, or a state with its words.
        /// </summary>
        /// <param name="text">A code as typed, or <c>vestibule://HOST:PORT/CODE</c> as a QR code holds it.</param>
        public void Pair(string text) => _client?.Pair(text);

        /// <summary>Takes a pair file or a key file that stands somewhere else than in the watched folder.</summary>
        public void TakeFile(string path) => _client?.TakeFile(path);

        // Entering play mode without a domain reload keeps statics: an object of the last play would stand here.
        [RuntimeInitializeOnLoadMethod(RuntimeInitializeLoadType.SubsystemRegistration)]
        private static void ForgetInstance() => Instance = null;

        private void Awake() => Make();

        private void Make()
        {
            if (Instance != null && Instance != this)
            {
                Debug.LogWarning("Vestibule: a second VestibuleTelemetry was removed; one records for the whole app.", this);
                Destroy(this);
                return;
            }
            Instance = this;
            _over = false;
            if (transform.parent != null)
            {
                transform.SetParent(null);  // only a root object outlives its scene
            }
            DontDestroyOnLoad(gameObject);
            var settings = VestibuleSettings.Load();
            try
            {
                _client = new VestibuleClient(settings.ToOptions(), Folders.Private());
            }
            catch (Exception error)
            {
                // An app must not end because nobody can record: it says so and goes on.
                Tell("Vestibule: telemetry is off: " + error.Message
                    + " Check Project Settings > Vestibule Telemetry and the app's private folder.");
                return;
            }
            _outlet = new Outlet(_client);
            _capture = new FrameCapture(_client, _outlet, settings, Tell);
            _life = new LifeSwitch(settings.FocusMatters, settings.OffHeadNs);
            if (settings.StartByItself)
            {
                Begin();
            }
        }

        private void OnEnable()
        {
            if (Instance == null)
            {
                Make();  // scripts were compiled anew while the Editor plays: nobody calls Awake again, and all is null
            }
            Application.onBeforeRender += BeforeRender;
        }

        private void OnDisable() => Application.onBeforeRender -= BeforeRender;

        private void Update()
        {
            if (_client == null)
            {
                return;
            }
            if (_capture.TryWorn(out bool worn))
            {
                Carry(_life.Worn(worn, _client.NowNs()));
            }
            // Bounded: what more there is waits for the next frame.
            for (int i = 0; i < 32 && _client.TryDequeue(out ClientEvent e); i++)
            {
                Happened(e);
            }
        }

        // Where no camera renders (a loading screen, a server build) nobody calls BeforeRender.
        private void LateUpdate() => _capture?.LateUpdate(Time.frameCount);

        // Just before the picture is drawn Unity takes the newest poses of the frame, those that the person then sees:
        // LateUpdate would record older ones that were never shown. After the tracked pose drivers, which are at 0.
        [BeforeRenderOrder(1000)]
        private void BeforeRender() => _capture?.BeforeRender(Time.frameCount);

        private void OnApplicationPause(bool paused)
        {
            if (_life != null)
            {
                Carry(_life.AppPaused(paused, _client.NowNs()));
            }
        }

        private void OnApplicationFocus(bool focused)
        {
            if (_life != null)
            {
                Carry(_life.Focused(focused, _client.NowNs()));
            }
        }

        private void OnApplicationQuit() => Finish();

        private void OnDestroy()
        {
            if (Instance == this)
            {
                Finish();
                Instance = null;
            }
        }

        private void Finish()
        {
            if (_over || _client == null)
            {
                return;
            }
            _over = true;
            Carry(_life.Quit());
            _capture.Dispose();
            _client.Dispose();  // waits for receipts, half a second at most
            _client = null;
            _life = null;
            _capture = null;
        }

        private void Carry(LifeOrder order)
        {
            switch (order)
            {
                case LifeOrder.Start:
                    _client.Start();
                    break;
                case LifeOrder.Pause:
                    _client.Pause(_life.Reason);
                    long until = _client.NowNs() + ByeWaitNs;
                    while (_client.State.State != VisibleState.NotRecording && _client.NowNs() < until)
                    {
                        Thread.Sleep(1);
                    }
                    break;
                case LifeOrder.Resume:
                    _client.Resume();
                    break;
                case LifeOrder.Stop:
                    _client.Stop();
                    break;
            }
        }

        private void Tell(string words)
        {
            Debug.LogWarning(words, this);
            Contain(Trouble, words);
        }
    }
}
