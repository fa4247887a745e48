// As UnityEngine.cs, for the module XR. A device is a row of a table, so that tests can say what a headset tells.
using System;
using System.Collections.Generic;

namespace UnityEngine.XR
{
    public enum XRNode
    {
        LeftEye,
        RightEye,
        CenterEye,
        Head,
        LeftHand,
        RightHand,
    }

    [Flags]
    public enum InputDeviceCharacteristics : uint
    {
        None = 0u,
        HeadMounted = 1u,
        Camera = 2u,
        HeldInHand = 4u,
        HandTracking = 8u,
        EyeTracking = 16u,
        TrackedDevice = 32u,
        Controller = 64u,
    }

    [Flags]
    public enum InputTrackingState : uint
    {
        None = 0u,
        Position = 1u,
        Rotation = 2u,
        Velocity = 4u,
        AngularVelocity = 8u,
    }

    [Flags]
    public enum TrackingOriginModeFlags
    {
        Unknown = 0,
        Device = 1,
        Floor = 2,
        TrackingReference = 4,
        Unbounded = 8,
    }

    public struct InputFeatureUsage<T>
    {
        public InputFeatureUsage(string usageName)
        {
            name = usageName;
        }

        public string name { get; set; }
    }

    public struct Eyes
    {
        public bool TryGetLeftEyePosition(out Vector3 position) => No(out position);

        public bool TryGetRightEyePosition(out Vector3 position) => No(out position);

        public bool TryGetLeftEyeRotation(out Quaternion rotation) => No(out rotation);

        public bool TryGetRightEyeRotation(out Quaternion rotation) => No(out rotation);

        public bool TryGetLeftEyeOpenAmount(out float openAmount) => No(out openAmount);

        public bool TryGetRightEyeOpenAmount(out float openAmount) => No(out openAmount);

        private static bool No<T>(out T value)
        {
            value = default;
            return false;
        }
    }

    /// <summary>What a device of a test tells: usage name to value; a delegate is called, and may throw.</summary>
    public sealed class StubDevice
    {
        public readonly Dictionary<string, object> Values = new Dictionary<string, object>();
        public readonly List<string> Impulses = new List<string>();
        public XRNode Node;
        public InputDeviceCharacteristics Characteristics;
    }

    public struct InputDevice
    {
        internal StubDevice Stub;

        public bool isValid => Stub != null && InputDevices.Stubs.Contains(Stub);

        public string name => "stub device";

        public string manufacturer => "stub maker";

        public InputDeviceCharacteristics characteristics => Stub == null ? 0 : Stub.Characteristics;

        public bool SendHapticImpulse(uint channel, float amplitude, float duration = 1.0f)
        {
            Stub.Impulses.Add(channel + " " + amplitude + " " + duration);
            return true;
        }

        public bool TryGetFeatureValue(InputFeatureUsage<bool> usage, out bool value) => Get(usage.name, out value);

        public bool TryGetFeatureValue(InputFeatureUsage<float> usage, out float value) => Get(usage.name, out value);

        public bool TryGetFeatureValue(InputFeatureUsage<Vector2> usage, out Vector2 value) => Get(usage.name, out value);

        public bool TryGetFeatureValue(InputFeatureUsage<Vector3> usage, out Vector3 value) => Get(usage.name, out value);

        public bool TryGetFeatureValue(InputFeatureUsage<Quaternion> usage, out Quaternion value) => Get(usage.name, out value);

        public bool TryGetFeatureValue(InputFeatureUsage<Eyes> usage, out Eyes value) => Get(usage.name, out value);

        public bool TryGetFeatureValue(InputFeatureUsage<InputTrackingState> usage, out InputTrackingState value) =>
            Get(usage.name, out value);

        private bool Get<T>(string name, out T value)
        {
            value = default;
            if (!isValid || !Stub.Values.TryGetValue(name, out object found))
            {
                return false;
            }
            value = found is Func<T> ask ? ask() : (T)found;
            return true;
        }
    }

    public static class InputDevices
    {
        public static readonly List<StubDevice> Stubs = new List<StubDevice>();

        public static event Action<InputDevice> deviceConnected;

        public static event Action<InputDevice> deviceDisconnected;

        public static event Action<InputDevice> deviceConfigChanged;

        public static void GetDevicesAtXRNode(XRNode node, List<InputDevice> inputDevices)
        {
            inputDevices.Clear();
            foreach (var stub in Stubs)
            {
                if (stub.Node == node)
                {
                    inputDevices.Add(new InputDevice { Stub = stub });
                }
            }
        }

        public static InputDevice GetDeviceAtXRNode(XRNode node) => default;

        public static void GetDevicesWithCharacteristics(
            InputDeviceCharacteristics desiredCharacteristics, List<InputDevice> inputDevices)
        {
            inputDevices.Clear();
            foreach (var stub in Stubs)
            {
                if ((stub.Characteristics & desiredCharacteristics) == desiredCharacteristics)
                {
                    inputDevices.Add(new InputDevice { Stub = stub });
                }
            }
        }

        public static void Connect(StubDevice stub)
        {
            Stubs.Add(stub);
            deviceConnected?.Invoke(new InputDevice { Stub = stub });
        }

        public static void Disconnect(StubDevice stub)
        {
            Stubs.Remove(stub);
            deviceDisconnected?.Invoke(new InputDevice { Stub = stub });
        }

        public static void Change(StubDevice stub) => deviceConfigChanged?.Invoke(new InputDevice { Stub = stub });
    }

    public static class CommonUsages
    {
        public static InputFeatureUsage<bool> isTracked = new InputFeatureUsage<bool>("IsTracked");
        public static InputFeatureUsage<bool> primaryButton = new InputFeatureUsage<bool>("PrimaryButton");
        public static InputFeatureUsage<bool> primaryTouch = new InputFeatureUsage<bool>("PrimaryTouch");
        public static InputFeatureUsage<bool> secondaryButton = new InputFeatureUsage<bool>("SecondaryButton");
        public static InputFeatureUsage<bool> secondaryTouch = new InputFeatureUsage<bool>("SecondaryTouch");
        public static InputFeatureUsage<bool> gripButton = new InputFeatureUsage<bool>("GripButton");
        public static InputFeatureUsage<bool> triggerButton = new InputFeatureUsage<bool>("TriggerButton");
        public static InputFeatureUsage<bool> menuButton = new InputFeatureUsage<bool>("MenuButton");
        public static InputFeatureUsage<bool> primary2DAxisClick = new InputFeatureUsage<bool>("Primary2DAxisClick");
        public static InputFeatureUsage<bool> primary2DAxisTouch = new InputFeatureUsage<bool>("Primary2DAxisTouch");
        public static InputFeatureUsage<bool> secondary2DAxisClick = new InputFeatureUsage<bool>("Secondary2DAxisClick");
        public static InputFeatureUsage<bool> secondary2DAxisTouch = new InputFeatureUsage<bool>("Secondary2DAxisTouch");
        public static InputFeatureUsage<bool> userPresence = new InputFeatureUsage<bool>("UserPresence");
        public static InputFeatureUsage<InputTrackingState> trackingState = new InputFeatureUsage<InputTrackingState>("TrackingState");
        public static InputFeatureUsage<float> trigger = new InputFeatureUsage<float>("Trigger");
        public static InputFeatureUsage<float> grip = new InputFeatureUsage<float>("Grip");
        public static InputFeatureUsage<Vector2> primary2DAxis = new InputFeatureUsage<Vector2>("Primary2DAxis");
        public static InputFeatureUsage<Vector2> secondary2DAxis = new InputFeatureUsage<Vector2>("Secondary2DAxis");
        public static InputFeatureUsage<Vector3> devicePosition = new InputFeatureUsage<Vector3>("DevicePosition");
        public static InputFeatureUsage<Vector3> deviceVelocity = new InputFeatureUsage<Vector3>("DeviceVelocity");
        public static InputFeatureUsage<Vector3> deviceAngularVelocity = new InputFeatureUsage<Vector3>("DeviceAngularVelocity");
        public static InputFeatureUsage<Quaternion> deviceRotation = new InputFeatureUsage<Quaternion>("DeviceRotation");
        public static InputFeatureUsage<Eyes> eyesData = new InputFeatureUsage<Eyes>("EyesData");
    }

    public class XRInputSubsystem : ISubsystem
    {
        public TrackingOriginModeFlags Mode = TrackingOriginModeFlags.Floor;

        public event Action<XRInputSubsystem> trackingOriginUpdated;

        public bool running => true;

        public TrackingOriginModeFlags GetTrackingOriginMode() => Mode;

        public void Move() => trackingOriginUpdated?.Invoke(this);
    }

    public static class XRDevice
    {
        public static float refreshRate => 90f;
    }

    public static class XRSettings
    {
        public static string loadedDeviceName => "stub runtime";
    }
}
