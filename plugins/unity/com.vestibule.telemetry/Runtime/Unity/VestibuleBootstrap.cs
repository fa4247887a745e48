using UnityEngine;

namespace Vestibule.Unity
{
    /// <summary>Makes the telemetry object when the app starts, if the settings say so: no prefab, nothing to forget.</summary>
    internal static class VestibuleBootstrap
    {
        [RuntimeInitializeOnLoadMethod(RuntimeInitializeLoadType.AfterSceneLoad)]
        private static void MakeIfWanted()
        {
            if (VestibuleTelemetry.Instance != null)
            {
                return;
            }
            var settings = Resources.Load<VestibuleSettings>(VestibuleSettings.AssetName);
            if (settings != null && settings.StartByItself)
            {
                new GameObject("Vestibule").AddComponent<VestibuleTelemetry>();
            }
        }
    }
}
