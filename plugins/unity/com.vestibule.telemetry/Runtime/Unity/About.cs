using UnityEngine;
using UnityEngine.XR;

namespace Vestibule.Unity
{
    /// <summary>Descriptions of streams. Names and versions only: no serial numbers, nothing that names a person.</summary>
    internal static class About
    {
        /// <summary>Version of this package; package.json says the same.</summary>
        public const string Plugin = "com.vestibule.telemetry 0.1.0";

        private static string _runtime;

        /// <summary>A description with what all streams have in common.</summary>
        public static StreamInfo Of(ushort stream, byte kind)
        {
            _runtime = _runtime ?? Runtime();
            return new StreamInfo(stream, Kinds.Name(kind))
                .With("axes", "openxr")
                .With("model", SystemInfo.deviceModel)
                .With("runtime", _runtime)
                .With("plugin", Plugin + ", Unity " + Application.unityVersion);
        }

        /// <summary>Head or controller.</summary>
        public static string Tracker(ushort stream, byte space, InputDevice device) =>
            Of(stream, Kinds.Pose)
                .With("space", Space(space))
                .With("nominal_hz", Rate())
                .With("vendor", device.isValid ? device.manufacturer : "")
                .With("device", device.isValid ? device.name : "")
                .With("filter", "runtime's own; predicted to the moment of display")
                .ToJson();

        /// <summary>The engine's own gaze.</summary>
        public static string Gaze(InputDevice device) =>
            Of(Streams.Gaze, Kinds.Gaze)
                .With("nominal_hz", Rate())
                .With("vendor", device.isValid ? device.manufacturer : "")
                .With("device", device.isValid ? device.name : "")
                .With("filter", "unknown; sampled once a frame")
                .With("calibration", "unknown")
                .ToJson();

        /// <summary>A hand.</summary>
        public static string Hand(ushort stream, byte space) =>
            Hands[stream == Streams.LeftHand ? 0 : 1] ??= Of(stream, Kinds.Hand)
                .With("space", Space(space))
                .With("nominal_hz", Rate())
                .With("device", "XR Hands subsystem")
                .With("filter", "unknown")
                .ToJson();

        /// <summary>Name of a space of SPEC, "pose".</summary>
        public static string Space(byte space)
        {
            switch (space)
            {
                case 1: return "local";
                case 3: return "stage";
                case 4: return "unbounded";
                default: return "local_floor";
            }
        }

        /// <summary>Space of a tracking origin; device-relative where the runtime names none.</summary>
        public static byte SpaceOf(TrackingOriginModeFlags mode)
        {
            switch (mode)
            {
                case TrackingOriginModeFlags.Floor: return 2;
                case TrackingOriginModeFlags.TrackingReference: return 3;
                case TrackingOriginModeFlags.Unbounded: return 4;
                default: return 1;
            }
        }

        /// <summary>The tracking origin moved, or its kind changed: hands are described anew.</summary>
        public static void Forget() => Hands[0] = Hands[1] = null;

        private static readonly string[] Hands = new string[2];

        private static double Rate()
        {
            float hz = XRDevice.refreshRate;
            return hz > 0f ? System.Math.Round(hz, 2) : double.NaN;
        }

        private static string Runtime()
        {
#if VESTIBULE_OPENXR
            string openXr = UnityEngine.XR.OpenXR.OpenXRRuntime.name;
            if (!string.IsNullOrEmpty(openXr))
            {
                return openXr + " " + UnityEngine.XR.OpenXR.OpenXRRuntime.version;
            }
#endif
            return XRSettings.loadedDeviceName;
        }
    }
}
