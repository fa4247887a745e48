using UnityEngine;
using UnityEngine.Events;

namespace Vestibule.Unity
{
    /// <summary>A text for UnityEvents.</summary>
    [System.Serializable]
    public sealed class WordsEvent : UnityEvent<string>
    {
    }

    /// <summary>
    /// The sign for the person in the headset: recording, waiting, behind and for how long, not recording and why. Text
    /// in the world that follows the view. A text of the gateway stands below the state and never in its place. Who
    /// records somebody without the sign breaks what the patient was promised.
    /// </summary>
    public sealed class VestibuleStatus : MonoBehaviour
    {
        [Tooltip("The TextMesh to write to; empty makes one.")]
        [SerializeField] private TextMesh label;
        [Tooltip("Where it stands before the eyes, in metres; ignored with a TextMesh of your own.")]
        [SerializeField] private Vector3 place = new Vector3(-0.18f, -0.22f, 0.9f);
        [Tooltip("Characters in a line.")]
        [SerializeField] private int width = 44;
        [Tooltip("Seconds for which a text of the gateway is shown.")]
        [SerializeField] private float textSeconds = 10f;
        [SerializeField] private WordsEvent onState = new WordsEvent();
        [SerializeField] private WordsEvent onText = new WordsEvent();

        private static readonly VisibleState Nobody = VisibleState.Off("not_started");

        private VestibuleTelemetry _telemetry;
        private Camera _camera;
        private VisibleState _shown;
        private string _text = "";
        private bool _isDrawn;
        private float _textUntil = -1f;
        private float _lookAt;
        private bool _mine;

        /// <summary>Each new state, as the sentence that is shown.</summary>
        public WordsEvent OnState => onState;

        /// <summary>Each text of the gateway.</summary>
        public WordsEvent OnText => onText;

        private void OnDisable() => Attach(null);

        private void OnDestroy()
        {
            if (_mine && label != null)
            {
                Destroy(label.gameObject);
            }
        }

        private void LateUpdate()
        {
            if (_telemetry != VestibuleTelemetry.Instance)
            {
                Attach(VestibuleTelemetry.Instance);
            }
            Ensure();
            Follow();
            if (_textUntil >= 0f && Time.unscaledTime >= _textUntil)
            {
                _textUntil = -1f;
                _text = "";
                _isDrawn = false;
            }
            // Where nobody records the sign must not go on saying what was true last.
            var state = (_telemetry != null ? _telemetry.State : null) ?? Nobody;
            bool isNew = !ReferenceEquals(state, _shown);
            _shown = state;
            if (isNew || !_isDrawn)
            {
                Show();
            }
            if (isNew)
            {
                onState.Invoke(state.Words);
            }
        }

        private void Attach(VestibuleTelemetry telemetry)
        {
            if (_telemetry != null)
            {
                _telemetry.TextReceived -= ShowText;
            }
            _telemetry = telemetry;
            if (telemetry != null)
            {
                telemetry.TextReceived += ShowText;
            }
        }

        private void ShowText(string text)
        {
            _text = text;
            _textUntil = Time.unscaledTime + textSeconds;
            _isDrawn = false;
            onText.Invoke(text);
        }

        private void Show()
        {
            Label.Colour(_shown.State, out float r, out float g, out float b);
            label.color = new Color(r, g, b, 1f);
            string words = Label.Wrap(_shown.Words, width);
            label.text = _text.Length == 0 ? words : words + "\n\n" + Label.Wrap(_text, width);
            _isDrawn = true;
        }

        // A label at a camera goes with it when its scene is unloaded.
        private void Ensure()
        {
            if (label != null)
            {
                label.richText = false;  // texts of the gateway are plain text
                return;
            }
            label = MakeLabel();
            _mine = true;
            _camera = null;
            _isDrawn = false;
            _lookAt = 0f;
        }

        // Camera.main searches the scene: once a second is enough for a camera that changes.
        private void Follow()
        {
            if (!_mine || Time.unscaledTime < _lookAt)
            {
                return;
            }
            _lookAt = Time.unscaledTime + 1f;
            var camera = Camera.main;
            if (camera != null && camera != _camera)
            {
                _camera = camera;
                label.transform.SetParent(camera.transform, false);
                label.transform.localPosition = place;
                label.transform.localRotation = Quaternion.identity;
            }
            else if (camera == null && label.transform.parent == null)
            {
                label.transform.SetParent(transform, false);
            }
        }

        private static TextMesh MakeLabel()
        {
            var made = new GameObject("Vestibule status").AddComponent<TextMesh>();
            made.anchor = TextAnchor.UpperLeft;
            made.fontSize = 48;
            made.characterSize = 0.004f;
#if UNITY_2022_2_OR_NEWER
            made.font = Resources.GetBuiltinResource<Font>("LegacyRuntime.ttf");
#else
            made.font = Resources.GetBuiltinResource<Font>("Arial.ttf");
#endif
            var renderer = made.GetComponent<MeshRenderer>();
            if (renderer != null && made.font != null)
            {
                renderer.sharedMaterial = made.font.material;  // without it the letters are rectangles
            }
            return made;
        }
    }
}
