using System;
using UnityEngine;
using UnityEngine.Events;

namespace Vestibule.Unity
{
    /// <summary>
    /// The ways into a pairing: a code that somebody types, the text of a QR code, a file that staff lay on the device.
    /// Wire <see cref="Submit"/> to an input field's end-edit event, or call <see cref="AskForCode"/>.
    /// </summary>
    public sealed class VestibulePairing : MonoBehaviour
    {
        private const string Scheme = "vestibule://";

        [SerializeField] private UnityEvent onPaired = new UnityEvent();
        [SerializeField] private WordsEvent onProgress = new WordsEvent();

        private VestibuleTelemetry _telemetry;
        private TouchScreenKeyboard _keyboard;

        /// <summary>The device is paired.</summary>
        public UnityEvent OnPaired => onPaired;

        /// <summary>How it goes, as a sentence: each new state, and trouble with a file.</summary>
        public WordsEvent OnProgress => onProgress;

        /// <summary>
        /// Where staff lay <c>vestibule.json</c> (from <c>vestibule pair --out</c> or <c>vestibule device add --out</c>).
        /// It is taken by itself, and deleted; one that cannot be read is renamed <c>vestibule.json.bad</c>.
        /// </summary>
        public static string WatchedFolder => Application.persistentDataPath;

        /// <summary>Pairs with a typed code (host and port from the settings), or with a whole <c>vestibule://HOST:PORT/CODE</c>.</summary>
        public void Submit(string text)
        {
            if (!string.IsNullOrWhiteSpace(text))
            {
                VestibuleTelemetry.GetOrCreate().Pair(text.Trim());
            }
        }

        /// <summary>Takes what a QR scanner read. Codes of other things are passed over.</summary>
        /// <returns>Whether it was one of Vestibule's.</returns>
        public bool TakeQr(string payload)
        {
            if (payload == null || !payload.TrimStart().StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            {
                return false;
            }
            Submit(payload);
            return true;
        }

        /// <summary>Opens the system's keyboard, where there is one, and pairs with what is typed.</summary>
        /// <returns>False where there is no such keyboard.</returns>
        public bool AskForCode()
        {
            if (!TouchScreenKeyboard.isSupported)
            {
                return false;
            }
            _keyboard = TouchScreenKeyboard.Open("", TouchScreenKeyboardType.Default, false);
            return _keyboard != null;
        }

        private void Update()
        {
            if (_telemetry != VestibuleTelemetry.Instance)
            {
                Attach(VestibuleTelemetry.Instance);
            }
            if (_keyboard != null && _keyboard.status != TouchScreenKeyboard.Status.Visible)
            {
                if (_keyboard.status == TouchScreenKeyboard.Status.Done)
                {
                    Submit(_keyboard.text);
                }
                _keyboard = null;
            }
        }

        private void OnDisable() => Attach(null);

        private void Attach(VestibuleTelemetry telemetry)
        {
            if (_telemetry != null)
            {
                _telemetry.Paired -= WasPaired;
                _telemetry.StateChanged -= Progress;
                _telemetry.Trouble -= onProgress.Invoke;
            }
            _telemetry = telemetry;
            if (telemetry != null)
            {
                telemetry.Paired += WasPaired;
                telemetry.StateChanged += Progress;
                telemetry.Trouble += onProgress.Invoke;
            }
        }

        private void WasPaired(uint device) => onPaired.Invoke();

        private void Progress(VisibleState state) => onProgress.Invoke(state.Words);
    }
}
