using System.IO;
using UnityEditor;
using UnityEditor.Android;
using UnityEditor.Build;
using UnityEditor.Build.Reporting;
using UnityEngine;

namespace Vestibule.Editor
{
    /// <summary>
    /// Says at each Android build what would keep packets from leaving the headset: before the build what the settings
    /// say, and then what really stands in the manifest that Unity made.
    /// </summary>
    internal sealed class AndroidBuildCheck : IPreprocessBuildWithReport, IPostGenerateGradleAndroidProject
    {
        /// <summary>After the callbacks of others, which may add the permission.</summary>
        public int callbackOrder => 1000;

        /// <summary>Before the build.</summary>
        public void OnPreprocessBuild(BuildReport report)
        {
            if (report.summary.platform != BuildTarget.Android)
            {
                return;
            }
            foreach (var finding in ProjectChecks.Look())
            {
                Debug.LogWarning("Vestibule: " + finding.Words + " (Project Settings > Vestibule Telemetry mends it.)");
            }
        }

        /// <summary>After the manifest was made. A warning and no failure: a library may still add the permission.</summary>
        public void OnPostGenerateGradleAndroidProject(string path)
        {
            string manifest = Path.Combine(path, "src", "main", "AndroidManifest.xml");
            if (File.Exists(manifest) && !ManifestCheck.Asks(File.ReadAllText(manifest), ManifestCheck.Internet))
            {
                Debug.LogWarning(
                    "Vestibule: the generated manifest " + manifest + " does not ask for " + ManifestCheck.Internet
                    + ". Unless a library adds it, no packet leaves the headset. Set Internet Access to Require under"
                    + " Player > Android > Other Settings, or Project Settings > Vestibule Telemetry.");
            }
        }
    }
}
