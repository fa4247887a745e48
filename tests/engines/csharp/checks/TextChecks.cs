using System;
using System.Text;
using Vestibule.Unity;
using static Checks;

internal static class TextChecks
{
    public static void InfoJson()
    {
        string json = new StreamInfo(3, "gaze")
            .With("vendor", "A \"maker\" \\ of\nthings \ud83d\udc41 \ud83d")
            .With("model", "")
            .With("nominal_hz", 72.5)
            .With("error_deg", double.NaN)
            .ToJson();
        Same(
            "{\"stream\":3,\"kind\":\"gaze\",\"vendor\":\"A \\\"maker\\\" \\\\ of\\u000athings \ud83d\udc41 \\ud83d\",\"nominal_hz\":72.5}",
            json, "json");
    }

    public static void InfoNeverTooLong()
    {
        var info = new StreamInfo(63, "face_unified");
        for (int i = 0; i < 40; i++)
        {
            info.With("member" + i, new string(i % 2 == 0 ? 'ü' : '"', 200));
        }
        int bytes = Encoding.UTF8.GetByteCount(info.ToJson());
        That(bytes <= StreamInfo.MaxBytes && bytes > 700, "bytes " + bytes);
        That(info.LeftOut > 0, "what did not fit is counted");
    }

    public static void LabelWraps()
    {
        Same("one two\nthree\nincomprehensible\nfour", Label.Wrap("one two three incomprehensible four", 9), "lines");
        Label.Colour("recording", out float r, out float g, out float b);
        Label.Colour("anything", out float r2, out float g2, out float b2);
        That(g > r && r2 > g2 && b2 < r2 && b < g, "colours differ");
    }
}
