using System.IO;
using UnityEditor;
using UnityEngine;
using Vestibule.Unity;

namespace Vestibule.Editor
{
    /// <summary>The page Project Settings > Vestibule Telemetry: the settings, and what stands in the way.</summary>
    public sealed class VestibuleSettingsProvider : SettingsProvider
    {
        private const string Page = "Project/Vestibule Telemetry";
        private const string Folder = "Assets/Resources";

        private SerializedObject _settings;

        private VestibuleSettingsProvider()
            : base(Page, SettingsScope.Project)
        {
        }

        /// <summary>Called by Unity.</summary>
        [SettingsProvider]
        public static SettingsProvider Create() =>
            new VestibuleSettingsProvider { keywords = new[] { "telemetry", "gateway", "recording", "VR" } };

        /// <summary>Makes the asset where there is none, and gives it.</summary>
        public static VestibuleSettings MakeAsset()
        {
            var found = Resources.Load<VestibuleSettings>(VestibuleSettings.AssetName);
            if (found != null)
            {
                return found;
            }
            Directory.CreateDirectory(Folder);
            var made = ScriptableObject.CreateInstance<VestibuleSettings>();
            AssetDatabase.CreateAsset(made, Folder + "/" + VestibuleSettings.AssetName + ".asset");
            AssetDatabase.SaveAssets();
            return made;
        }

        /// <summary>Draws the page.</summary>
        public override void OnGUI(string searchContext)
        {
            foreach (var finding in ProjectChecks.Look())
            {
                EditorGUILayout.HelpBox(finding.Words, MessageType.Warning);
                if (finding.Button != null && GUILayout.Button(finding.Button))
                {
                    finding.Mend();
                }
            }
            var asset = Resources.Load<VestibuleSettings>(VestibuleSettings.AssetName);
            if (asset == null)
            {
                return;
            }
            if (_settings == null || _settings.targetObject != asset)
            {
                _settings = new SerializedObject(asset);
            }
            _settings.Update();
            var property = _settings.GetIterator();
            for (bool enter = true; property.NextVisible(enter); enter = false)
            {
                if (property.name != "m_Script")
                {
                    EditorGUILayout.PropertyField(property, true);
                }
            }
            _settings.ApplyModifiedProperties();
        }
    }
}
