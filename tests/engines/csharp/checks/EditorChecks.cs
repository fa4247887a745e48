using UnityEditor;
using Vestibule.Editor;
using static Checks;

internal static class EditorChecks
{
    private const string Head =
        "<manifest xmlns:android=\"http://schemas.android.com/apk/res/android\" xmlns:tools=\"http://schemas.android.com/tools\">";

    public static void Manifest()
    {
        const string Asking = Head + "<uses-permission android:name=\"android.permission.INTERNET\"/></manifest>";
        const string Removing =
            Head + "<uses-permission android:name=\"android.permission.INTERNET\" tools:node=\"remove\"/></manifest>";
        const string Comment = Head + "<!-- android.permission.INTERNET --></manifest>";
        That(ManifestCheck.Asks(Asking, ManifestCheck.Internet), "asks");
        That(!ManifestCheck.Asks(Removing, ManifestCheck.Internet), "removes");
        That(!ManifestCheck.Asks(Comment, ManifestCheck.Internet), "a comment asks for nothing");
        That(!ManifestCheck.Asks("", ManifestCheck.Internet) && !ManifestCheck.Asks("<a", ManifestCheck.Internet), "no XML");
        Same(
            "false",
            ManifestCheck.OfApplication(Head + "<application android:allowBackup=\"false\"/></manifest>", "allowBackup"),
            "backup");
        Same("", ManifestCheck.OfApplication(Head + "<application/></manifest>", "allowBackup"), "not said");
    }

    public static void Project()
    {
        PlayerSettings.Android.forceInternetPermission = false;
        var found = ProjectChecks.Look();
        Same(2, found.Count, "no INTERNET, no settings");
        That(found[0].Words.Contains("INTERNET") && found[0].Button != null, found[0].Words);
        found[0].Mend();
        That(ProjectChecks.AsksForInternet(), "the button mends it");
        Same(1, ProjectChecks.Look().Count, "and then it is not told any more");
        PlayerSettings.runInBackground = false;
        Same(2, ProjectChecks.Look().Count, "PC VR in the background");
        PlayerSettings.runInBackground = true;
    }
}
