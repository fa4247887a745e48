using System.IO;
using UnityEngine;

namespace Vestibule.Unity
{
    /// <summary>Where the client's files stand.</summary>
    internal static class Folders
    {
        /// <summary>
        /// A folder that only this app can read; identity (K_dev) and spool stand in it. On Android the folder that is
        /// also left out of backups: an identity that is restored to a second headset would count HELLOs twice.
        /// </summary>
        public static string Private()
        {
#if UNITY_ANDROID && !UNITY_EDITOR
            // persistentDataPath is shared storage there: anyone with a cable could read the key.
            using (var player = new AndroidJavaClass("com.unity3d.player.UnityPlayer"))
            using (var activity = player.GetStatic<AndroidJavaObject>("currentActivity"))
            using (var folder = activity.Call<AndroidJavaObject>("getNoBackupFilesDir"))
            {
                return Path.Combine(folder.Call<string>("getAbsolutePath"), "vestibule");
            }
#else
            return Path.Combine(Application.persistentDataPath, "vestibule-private");
#endif
        }

        /// <summary>Where staff lay <c>vestibule.json</c>: <c>adb push</c> and device managers can write there.</summary>
        public static string Watched() => Application.persistentDataPath;
    }
}
