using System.Xml;

namespace Vestibule.Editor
{
    /// <summary>Reads what an Android manifest says about this package's needs.</summary>
    public static class ManifestCheck
    {
        private const string Android = "http://schemas.android.com/apk/res/android";

        /// <summary>The permission without which no packet leaves the headset, and nothing says why.</summary>
        public const string Internet = "android.permission.INTERNET";

        /// <summary>Whether a manifest asks for a permission.</summary>
        /// <param name="manifest">XML of the manifest.</param>
        /// <param name="permission">Name of the permission.</param>
        /// <returns>False also where the text is no XML.</returns>
        public static bool Asks(string manifest, string permission)
        {
            var document = Parse(manifest);
            if (document == null)
            {
                return false;
            }
            foreach (XmlElement element in document.GetElementsByTagName("uses-permission"))
            {
                // tools:node="remove" takes away what a library asks for.
                if (element.GetAttribute("name", Android) == permission
                    && element.GetAttribute("node", "http://schemas.android.com/tools") != "remove")
                {
                    return true;
                }
            }
            return false;
        }

        /// <summary>Whether the manifest's application names a value for an attribute: <c>allowBackup</c>.</summary>
        /// <returns>The value, or empty.</returns>
        public static string OfApplication(string manifest, string attribute)
        {
            var document = Parse(manifest);
            if (document != null)
            {
                foreach (XmlElement element in document.GetElementsByTagName("application"))
                {
                    string value = element.GetAttribute(attribute, Android);
                    if (value.Length > 0)
                    {
                        return value;
                    }
                }
            }
            return "";
        }

        private static XmlDocument Parse(string manifest)
        {
            try
            {
                var document = new XmlDocument { XmlResolver = null };
                document.LoadXml(manifest);
                return document;
            }
            catch (XmlException)
            {
                return null;
            }
        }
    }
}
