using UnityEngine;
using Vestibule;
using Vestibule.Unity;

/// <summary>
/// Your first data: put this on an empty object in a scene with an XR rig. It shows the sign in the headset, asks for
/// the pairing code where the device was never paired, and buzzes and marks when the trigger of the right hand is
/// pulled.
/// </summary>
public sealed class FirstData : MonoBehaviour
{
    private const ushort TriggerPulled = 1;  // codes of markers are your own; write down what they mean

    [SerializeField] private string gatewayLink = "";  // vestibule://HOST:PORT/CODE, pasted for a first try in the editor

    private VestibulePairing _pairing;
    private VestibuleTelemetry _telemetry;
    private bool _pulled;
    private bool _asked;

    private void Start()
    {
        gameObject.AddComponent<VestibuleStatus>();
        _pairing = gameObject.AddComponent<VestibulePairing>();
        _telemetry = VestibuleTelemetry.GetOrCreate();
        _telemetry.Begin();
        if (gatewayLink.Length > 0)
        {
            _pairing.Submit(gatewayLink);
        }
    }

    private void Update()
    {
        VisibleState state = _telemetry.State;
        if (!_asked && state != null && state.Reason == "not_paired" && gatewayLink.Length == 0)
        {
            _asked = true;
            if (!_pairing.AskForCode())
            {
                Debug.Log("Lay vestibule.json into " + VestibulePairing.WatchedFolder + ", or fill in gatewayLink.");
            }
        }

        var right = UnityEngine.XR.InputDevices.GetDeviceAtXRNode(UnityEngine.XR.XRNode.RightHand);
        bool pulled = right.isValid
            && right.TryGetFeatureValue(UnityEngine.XR.CommonUsages.triggerButton, out bool now) && now;
        if (pulled && !_pulled)
        {
            _telemetry.PlayHaptic(2, 0.5f, 0.05f);
            _telemetry.Marker(TriggerPulled, "trigger pulled");
        }
        _pulled = pulled;
    }
}
