// As UnityEngine.cs, for the packages XR Hands and OpenXR.
namespace UnityEngine.XR.Hands
{
    public enum XRHandJointID
    {
        Invalid,
        BeginMarker,
        Wrist = BeginMarker,
        Palm,
        ThumbMetacarpal,
        LittleTip = 26,
        EndMarker,
    }

    [System.Flags]
    public enum XRHandJointTrackingState
    {
        None = 0,
        Radius = 1,
        Pose = 2,
    }

    public struct XRHandJoint
    {
        internal XRHandJointID Id;

        public XRHandJointTrackingState trackingState => (XRHandJointTrackingState)(1 << 5);

        public bool TryGetRadius(out float radius)
        {
            radius = (int)Id * 0.001f;
            return true;
        }

        public bool TryGetPose(out Pose pose)
        {
            pose = new Pose { position = new Vector3((int)Id, 1f, 2f), rotation = Quaternion.identity };
            return true;
        }
    }

    public struct XRHand
    {
        public bool Tracked;

        public bool isTracked => Tracked;

        public XRHandJoint GetJoint(XRHandJointID id) => new XRHandJoint { Id = id };
    }

    public class XRHandSubsystem : ISubsystem
    {
        public bool Tracked = true;

        public bool running => true;

        public XRHand leftHand => new XRHand { Tracked = Tracked };

        public XRHand rightHand => new XRHand { Tracked = Tracked };
    }
}

namespace UnityEngine.XR.OpenXR
{
    public static class OpenXRRuntime
    {
        public static string name => "stub openxr";

        public static string version => "1.2.3";
    }
}
