// As UnityEngine.cs, for the Editor.
using System;
using System.Collections.Generic;
using UnityEngine;

namespace UnityEditor
{
    public enum BuildTarget
    {
        StandaloneWindows64 = 19,
        Android = 13,
    }

    public enum MessageType
    {
        None,
        Info,
        Warning,
        Error,
    }

    public static class PlayerSettings
    {
        public static bool runInBackground { get; set; } = true;

        public static class Android
        {
            public static bool forceInternetPermission { get; set; }
        }
    }

    public static class AssetDatabase
    {
        public static void CreateAsset(UnityEngine.Object asset, string path)
        {
        }

        public static void SaveAssets()
        {
        }
    }

    public class SerializedProperty
    {
        public string name => "";

        public bool NextVisible(bool enterChildren) => false;
    }

    public class SerializedObject
    {
        public SerializedObject(UnityEngine.Object obj)
        {
            targetObject = obj;
        }

        public UnityEngine.Object targetObject { get; }

        public void Update()
        {
        }

        public SerializedProperty GetIterator() => new SerializedProperty();

        public bool ApplyModifiedProperties() => false;
    }

    public static class EditorGUILayout
    {
        public static void HelpBox(string message, MessageType type)
        {
        }

        public static bool PropertyField(SerializedProperty property, bool includeChildren, params GUILayoutOption[] options) => false;
    }

    public enum SettingsScope
    {
        User,
        Project,
    }

    [AttributeUsage(AttributeTargets.Method)]
    public class SettingsProviderAttribute : Attribute
    {
    }

    public class SettingsProvider
    {
        public SettingsProvider(string path, SettingsScope scopes, IEnumerable<string> keywords = null)
        {
        }

        public IEnumerable<string> keywords { get; set; }

        public virtual void OnGUI(string searchContext)
        {
        }
    }
}

namespace UnityEngine
{
    public sealed class GUILayoutOption
    {
    }

    public class GUILayout
    {
        public static bool Button(string text, params GUILayoutOption[] options) => false;
    }
}

namespace UnityEditor.Build
{
    public interface IOrderedCallback
    {
        int callbackOrder { get; }
    }

    public interface IPreprocessBuildWithReport : IOrderedCallback
    {
        void OnPreprocessBuild(Reporting.BuildReport report);
    }
}

namespace UnityEditor.Build.Reporting
{
    public class BuildReport
    {
        public BuildSummary summary => default;
    }

    public struct BuildSummary
    {
        public BuildTarget platform => BuildTarget.Android;
    }
}

namespace UnityEditor.Android
{
    public interface IPostGenerateGradleAndroidProject : Build.IOrderedCallback
    {
        void OnPostGenerateGradleAndroidProject(string path);
    }
}
