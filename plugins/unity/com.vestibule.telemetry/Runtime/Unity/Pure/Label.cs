using System.Text;

namespace Vestibule.Unity
{
    /// <summary>The sign in the headset: lines that fit it, and its colour. Told anew only when the state changed.</summary>
    public static class Label
    {
        /// <summary>A text in lines of at most so many characters, broken at spaces; longer words stand alone.</summary>
        public static string Wrap(string text, int width)
        {
            var lines = new StringBuilder(text.Length + 8);
            int column = 0;
            foreach (string word in text.Split(' '))
            {
                if (column > 0 && column + 1 + word.Length > width)
                {
                    lines.Append('\n');
                    column = 0;
                }
                else if (column > 0)
                {
                    lines.Append(' ');
                    column++;
                }
                lines.Append(word);
                column += word.Length;
            }
            return lines.ToString();
        }

        /// <summary>Red, green, blue of a state, told apart also by people who do not tell red from green.</summary>
        public static void Colour(string state, out float r, out float g, out float b)
        {
            switch (state)
            {
                case VisibleState.Recording:
                    (r, g, b) = (0.30f, 0.85f, 0.55f);
                    break;
                case VisibleState.Behind:
                    (r, g, b) = (1.00f, 0.80f, 0.25f);
                    break;
                case VisibleState.Waiting:
                    (r, g, b) = (0.65f, 0.75f, 0.90f);
                    break;
                default:
                    (r, g, b) = (1.00f, 0.50f, 0.35f);
                    break;
            }
        }
    }
}
