using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Threading;
using UnityEngine;
using UnityEngine.XR;
using UnityEngine.XR.Hands;
using Vestibule;
using Vestibule.Unity;

/// <summary>
/// The whole adapter on a headset of stubs, against a real gateway: a few seconds of an app's life, with a source that
/// breaks, a recentred origin, a system menu with sleep, and the end. The test looks into the gateway's vault.
/// </summary>
internal static class AdapterRun
{
    private const int Before = 60;
    private const int After = 60;
    private const int BreaksAt = 30;
    private const int Undrawn = 40;
    private const int WaitS = 20;

    private static readonly StubDevice Head = new StubDevice { Node = XRNode.Head };
    private static readonly StubDevice Left = new StubDevice { Node = XRNode.LeftHand };
    private static readonly StubDevice Right = new StubDevice { Node = XRNode.RightHand };
    private static readonly StubDevice Eye = new StubDevice { Node = XRNode.Head };
    private static readonly XRInputSubsystem Origin = new XRInputSubsystem();
    private static readonly XRHandSubsystem Hands = new XRHandSubsystem();
    private static readonly List<long> Allocated = new List<long>();
    private static readonly List<string> States = new List<string>();
    private static VestibuleTelemetry _app;
    private static VestibuleStatus _sign;
    private static int _recorded;
    private static int _looks;

    /// <summary>One argument: the app's folder, in which the test laid an identity.</summary>
    public static int Live(string[] args)
    {
        Application.persistentDataPath = args[0];
        Application.isMobilePlatform = true;
        PutOn();
        _app = new GameObject("Vestibule").AddComponent<VestibuleTelemetry>();
        _sign = new GameObject("sign").AddComponent<VestibuleStatus>();
        Checks.That(!_sign.gameObject.AddComponent<VestibulePairing>().TakeQr("https://example.org/"), "a QR code of something else");
        _app.StateChanged += state => States.Add(state.State + "/" + state.Reason);
        Send("Awake");
        Send("OnEnable");
        Until(() => _app.Recording, "it records");

        Frames(Before);
        Send("OnApplicationFocus", false);  // the system's menu, and then sleep
        Send("OnApplicationPause", true);
        Checks.Same(VisibleState.NotRecording, _app.State.State, "asleep, and BYE is out");
        Send("OnApplicationPause", false);
        Send("OnApplicationFocus", true);
        Until(() => _app.Recording, "it records again");
        Frames(After);
        Until(() => _app.Status.HeldPackets == 0 && _app.Status.Unsealed == 0, "everything has its receipt");

        Send("OnApplicationQuit");
        Send("OnDisable");
        Send("OnDestroy");
        Checks.That(VestibuleTelemetry.Instance == null, "gone");
        Draw();  // a late frame
        Allocated.Sort();
        Console.WriteLine("recorded " + _recorded);
        Console.WriteLine("looks " + _looks);
        Console.WriteLine("allocated " + Allocated[Allocated.Count / 2]);
        Console.WriteLine("impulses " + string.Join(";", Right.Impulses));
        Console.WriteLine("states " + string.Join(" ", States));
        Console.WriteLine("shown " + string.Join(" | ", TextMesh.Shown).Replace('\n', ' '));
        Console.WriteLine("told " + string.Join(" | ", UnityEngine.Debug.Lines).Replace('\n', ' '));
        return 0;
    }

    private static void PutOn()
    {
        foreach (var device in new[] { Head, Left, Right })
        {
            device.Values["IsTracked"] = true;
            device.Values["TrackingState"] = InputTrackingState.Position | InputTrackingState.Rotation | InputTrackingState.Velocity;
            // Turned right by 90 degrees, in Unity's axes: about +y.
            device.Values["DeviceRotation"] = new Quaternion(0f, (float)Math.Sqrt(0.5), 0f, (float)Math.Sqrt(0.5));
            device.Values["DeviceVelocity"] = new Vector3(1f, 2f, 3f);
            device.Values["DeviceAngularVelocity"] = new Vector3(1f, 2f, 3f);  // given, and not claimed by TrackingState
        }
        Left.Values["DevicePosition"] = new Func<Vector3>(
            () => _recorded < BreaksAt ? new Vector3(-0.2f, 1f, 0.3f) : throw new InvalidOperationException("the SDK broke"));
        Right.Values["DevicePosition"] = new Vector3(0.2f, 1f, 0.3f);
        Right.Values["TriggerButton"] = false;
        Right.Values["Trigger"] = 0f;
        Head.Values["UserPresence"] = true;
        Eye.Characteristics = InputDeviceCharacteristics.EyeTracking | InputDeviceCharacteristics.HeadMounted;
        Eye.Values["IsTracked"] = true;
        Eye.Values["gazePosition"] = new Vector3(0.1f, 1.6f, 2f);
        Eye.Values["gazeRotation"] = new Func<Quaternion>(() =>
        {
            _looks++;
            return Quaternion.identity;  // it looks to the left, as seen by the head
        });
        // What stands first at a node is not always what the stream is named for.
        InputDevices.Connect(new StubDevice { Node = XRNode.LeftHand, Characteristics = InputDeviceCharacteristics.HandTracking });
        Head.Characteristics = InputDeviceCharacteristics.HeadMounted;
        Left.Characteristics = Right.Characteristics = InputDeviceCharacteristics.Controller;
        foreach (var device in new[] { Eye, Head, Left, Right })
        {
            InputDevices.Connect(device);
        }
        SubsystemManager.All.Add(Origin);
        SubsystemManager.All.Add(Hands);
    }

    private static void Frames(int count)
    {
        for (int until = _recorded + count; _recorded < until;)
        {
            if (_recorded == Undrawn)
            {
                // A loading screen: the first frame waits for a picture that does not come, then LateUpdate steps in.
                Step();
                for (int i = 0; i < 2; i++)
                {
                    Step();
                    _recorded++;
                }
            }
            Frame();
        }
    }

    // Until the picture is drawn the headset tells older poses.
    private static void Step()
    {
        Time.frameCount++;
        Head.Values["DevicePosition"] = new Vector3(_recorded, 0f, 2f);
        Send("Update");
        Send("LateUpdate");
        Send(_sign, "LateUpdate");
    }

    private static void Frame()
    {
        if (_app.Recording)
        {
            switch (_recorded)
            {
                case 10:
                    Checks.That(_app.PlayHaptic(2, 0.5f, 0.05f, 200f), "played");
                    Checks.That(!_app.PlayHaptic(5, 0.5f, 0.05f), "nothing to play it on");
                    _app.Marker(7, "begin");
                    break;
                case 12:
                    Send(_sign, "ShowText", "Look left");
                    break;
                case 16:
                    Time.unscaledTime += 11f;  // the text has been there for long enough
                    break;
                case 20:
                    Origin.Mode = TrackingOriginModeFlags.Device;
                    Origin.Move();
                    break;
                case 25:
                    Right.Values["TriggerButton"] = true;
                    Right.Values["Trigger"] = 1f;
                    break;
            }
        }
        Step();
        Head.Values["DevicePosition"] = new Vector3(_recorded, 1.6f, 2f);
        long before = GC.GetAllocatedBytesForCurrentThread();
        bool records = _app.Recording;
        Draw();
        if (records)
        {
            _recorded++;
            Allocated.Add(GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Thread.Sleep(5);
    }

    private static void Draw() => Application.Draw();

    private static void Until(Func<bool> holds, string what)
    {
        var watch = Stopwatch.StartNew();
        while (!holds())
        {
            if (watch.Elapsed.TotalSeconds > WaitS)
            {
                throw new InvalidOperationException(
                    "not in " + WaitS.ToString(CultureInfo.InvariantCulture) + " s: " + what + "; " + _app.State?.Words);
            }
            // Frames of the app without pictures: nothing is captured while it waits.
            Send("Update");
            Send(_sign, "LateUpdate");
            Thread.Sleep(5);
        }
    }

    private static void Send(string message, params object[] args) => Send(_app, message, args);

    // As Unity does: by name, whatever their access.
    private static void Send(MonoBehaviour to, string message, params object[] args) =>
        to.GetType().GetMethod(message, BindingFlags.Instance | BindingFlags.NonPublic).Invoke(to, args);
}
