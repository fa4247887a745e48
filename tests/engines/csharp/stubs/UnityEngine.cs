// Signatures of the Unity types that the adapter uses, as of 2021.3, and no more: so that it compiles where there is no
// Unity. Behaviour only where a test runs on it. Nothing of this is part of the package.
using System;
using System.Collections.Generic;

namespace UnityEngine
{
    public struct Vector2
    {
        public float x, y;

        public Vector2(float x, float y)
        {
            this.x = x;
            this.y = y;
        }
    }

    public struct Vector3
    {
        public float x, y, z;

        public Vector3(float x, float y, float z)
        {
            this.x = x;
            this.y = y;
            this.z = z;
        }
    }

    public struct Quaternion
    {
        public float x, y, z, w;

        public Quaternion(float x, float y, float z, float w)
        {
            this.x = x;
            this.y = y;
            this.z = z;
            this.w = w;
        }

        public static Quaternion identity => new Quaternion(0f, 0f, 0f, 1f);
    }

    public struct Pose
    {
        public Vector3 position;
        public Quaternion rotation;
    }

    public struct Color
    {
        public float r, g, b, a;

        public Color(float r, float g, float b, float a)
        {
            this.r = r;
            this.g = g;
            this.b = b;
            this.a = a;
        }
    }

    public class Object
    {
        public string name { get; set; }

        public static void Destroy(Object obj)
        {
        }

        public static void DontDestroyOnLoad(Object target)
        {
        }

        public static bool operator ==(Object a, Object b) => ReferenceEquals(a, b);

        public static bool operator !=(Object a, Object b) => !ReferenceEquals(a, b);

        public override bool Equals(object other) => ReferenceEquals(this, other);

        public override int GetHashCode() => 0;
    }

    public class ScriptableObject : Object
    {
        public static T CreateInstance<T>() where T : ScriptableObject => Activator.CreateInstance<T>();
    }

    public class Component : Object
    {
        public GameObject gameObject { get; internal set; }

        public Transform transform => gameObject.transform;

        public T GetComponent<T>() => default;
    }

    public class Transform : Component
    {
        public Transform parent { get; private set; }

        public Vector3 localPosition { get; set; }

        public Quaternion localRotation { get; set; }

        public void SetParent(Transform p) => parent = p;

        public void SetParent(Transform parent, bool worldPositionStays) => this.parent = parent;
    }

    public class Behaviour : Component
    {
        public bool enabled { get; set; }
    }

    public class MonoBehaviour : Behaviour
    {
    }

    public sealed class GameObject : Object
    {
        public GameObject(string name)
        {
            this.name = name;
            transform = new Transform();
        }

        public Transform transform { get; }

        public T AddComponent<T>() where T : Component
        {
            var made = Activator.CreateInstance<T>();
            made.gameObject = this;
            return made;
        }
    }

    public sealed class Camera : Behaviour
    {
        public static Camera main => null;
    }

    public class Renderer : Component
    {
        public Material sharedMaterial { get; set; }
    }

    public sealed class MeshRenderer : Renderer
    {
    }

    public class Material : Object
    {
    }

    public sealed class Font : Object
    {
        public Material material { get; set; }
    }

    public enum TextAnchor
    {
        UpperLeft,
    }

    public sealed class TextMesh : Component
    {
        public static readonly List<string> Shown = new List<string>();

        public string text
        {
            get => Shown.Count == 0 ? "" : Shown[Shown.Count - 1];
            set => Shown.Add(value);
        }

        public Font font { get; set; }

        public int fontSize { get; set; }

        public float characterSize { get; set; }

        public TextAnchor anchor { get; set; }

        public bool richText { get; set; }

        public Color color { get; set; }
    }

    public static class Resources
    {
        public static T Load<T>(string path) where T : Object => null;

        public static T GetBuiltinResource<T>(string path) where T : Object => null;
    }

    public static class Time
    {
        public static int frameCount { get; set; }

        public static float unscaledTime { get; set; }
    }

    public static class SystemInfo
    {
        public static string deviceModel => "stub";
    }

    public static class Application
    {
        public static event Events.UnityAction onBeforeRender;

        public static bool isMobilePlatform { get; set; }

        public static string persistentDataPath { get; set; } = "";

        public static string unityVersion => "2021.3.0f1";

        public static void Draw() => onBeforeRender?.Invoke();
    }

    public static class Debug
    {
        public static readonly List<string> Lines = new List<string>();

        public static void Log(object message) => Lines.Add(message.ToString());

        public static void LogWarning(object message) => Lines.Add(message.ToString());

        public static void LogWarning(object message, Object context) => Lines.Add(message.ToString());

        public static void LogException(Exception exception) => Lines.Add(exception.ToString());
    }

    public enum TouchScreenKeyboardType
    {
        Default,
    }

    public class TouchScreenKeyboard
    {
        public enum Status
        {
            Visible,
            Done,
            Canceled,
            LostFocus,
        }

        public static bool isSupported => false;

        public string text { get; set; }

        public Status status => Status.Visible;

        public static TouchScreenKeyboard Open(string text, TouchScreenKeyboardType keyboardType, bool autocorrection) => null;
    }

    public class AndroidJavaObject : IDisposable
    {
        public T Call<T>(string methodName, params object[] args) => default;

        public T GetStatic<T>(string fieldName) => default;

        public void Dispose()
        {
        }
    }

    public class AndroidJavaClass : AndroidJavaObject
    {
        public AndroidJavaClass(string className)
        {
        }
    }

    public interface ISubsystem
    {
        bool running { get; }
    }

    public static class SubsystemManager
    {
        public static readonly List<ISubsystem> All = new List<ISubsystem>();

        public static void GetSubsystems<T>(List<T> subsystems) where T : ISubsystem
        {
            subsystems.Clear();
            foreach (var one in All)
            {
                if (one is T)
                {
                    subsystems.Add((T)one);
                }
            }
        }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class SerializeField : Attribute
    {
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class HeaderAttribute : Attribute
    {
        public HeaderAttribute(string header)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string tooltip)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class RangeAttribute : Attribute
    {
        public RangeAttribute(float min, float max)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class DisallowMultipleComponent : Attribute
    {
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class DefaultExecutionOrder : Attribute
    {
        public DefaultExecutionOrder(int order)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Method)]
    public class BeforeRenderOrderAttribute : Attribute
    {
        public BeforeRenderOrderAttribute(int order)
        {
        }
    }

    public enum RuntimeInitializeLoadType
    {
        AfterSceneLoad = 0,
        SubsystemRegistration = 4,
    }

    [AttributeUsage(AttributeTargets.Method)]
    public class RuntimeInitializeOnLoadMethodAttribute : Attribute
    {
        public RuntimeInitializeOnLoadMethodAttribute(RuntimeInitializeLoadType loadType)
        {
        }
    }
}

namespace UnityEngine.Events
{
    public delegate void UnityAction();

    public class UnityEvent
    {
        public void Invoke()
        {
        }
    }

    public class UnityEvent<T0>
    {
        public void Invoke(T0 arg0)
        {
        }
    }
}
