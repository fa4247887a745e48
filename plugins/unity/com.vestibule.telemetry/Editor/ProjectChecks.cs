using System;
using System.Collections.Generic;
using System.IO;
using UnityEditor;
using UnityEngine;
using Vestibule.Unity;

namespace Vestibule.Editor
{
    /// <summary>Something about the project that will stand in the way, and what mends it.</summary>
    public readonly struct Finding
    {
        /// <summary>Makes one.</summary>
        /// <param name="words">What, why, and the next step.</param>
        /// <param name="button">Text of the button that mends it; null where only a person can.</param>
        /// <param name="mend">What the button does.</param>
        public Finding(string words, string button = null, Action mend = null)
        {
            Words = words;
            Button = button;
            Mend = mend;
        }

        /// <summary>What, why, and the next step.</summary>
        public string Words { get; }

        /// <summary>Text of the button; null for none.</summary>
        public string Button { get; }

        /// <summary>What the button does; null for nothing.</summary>
        public Action Mend { get; }
    }

    /// <summary>Looks at the project as it is set up. Changes nothing by itself.</summary>
    public static class ProjectChecks
    {
        private const string OwnManifest = "Assets/Plugins/Android/AndroidManifest.xml";

        /// <summary>Everything that was found; empty when all is well.</summary>
        public static List<Finding> Look()
        {
            var found = new List<Finding>();
            if (!AsksForInternet())
            {
                found.Add(new Finding(
                    "Android: the app does not ask for INTERNET. Packets never leave the headset, and the patient sees"
                    + " 'the gateway does not answer'. Set Player > Android > Other Settings > Internet Access to Require.",
                    "Set Internet Access to Require",
                    () => PlayerSettings.Android.forceInternetPermission = true));
            }
            if (BacksUp())
            {
                found.Add(new Finding(
                    "Android: " + OwnManifest + " allows backups. The identity is kept out of them, but the folder in which"
                    + " staff lay vestibule.json may be in them. Set android:allowBackup=\"false\" in its <application>."));
            }
            if (!PlayerSettings.runInBackground)
            {
                found.Add(new Finding(
                    "PC VR: 'Run In Background' is off. The recording stops whenever staff click beside the window.",
                    "Switch Run In Background on",
                    () => PlayerSettings.runInBackground = true));
            }
            var settings = Resources.Load<VestibuleSettings>(VestibuleSettings.AssetName);
            if (settings == null)
            {
                found.Add(new Finding(
                    "There are no settings: nothing is made by itself when the app starts.",
                    "Make the settings",
                    () => VestibuleSettingsProvider.MakeAsset()));
            }
            else if (settings.Port < 1 || settings.Port > 65535)
            {
                found.Add(new Finding("The gateway's port is " + settings.Port + "; a UDP port is 1 to 65535. `vestibule status` shows it."));
            }
            return found;
        }

        /// <summary>Whether Unity is told to add INTERNET, or the project's own manifest has it.</summary>
        public static bool AsksForInternet() =>
            PlayerSettings.Android.forceInternetPermission || ManifestCheck.Asks(Read(OwnManifest), ManifestCheck.Internet);

        private static bool BacksUp()
        {
            string text = Read(OwnManifest);
            return text.Length > 0 && ManifestCheck.OfApplication(text, "allowBackup") != "false";
        }

        private static string Read(string path) => File.Exists(path) ? File.ReadAllText(path) : "";
    }
}
