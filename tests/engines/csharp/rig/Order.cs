using System;
using System.Collections.Generic;
using System.Globalization;

/// <summary>The members of an order or of a line of a tape.</summary>
internal readonly struct Order
{
    private readonly Dictionary<string, object> _members;

    public Order(Dictionary<string, object> members)
    {
        _members = members;
    }

    public bool Has(string name) => _members.TryGetValue(name, out object value) && value != null;

    public string Text(string name, string missing = "") => Has(name) ? (string)_members[name] : missing;

    public double Number(string name, double missing = 0) => Has(name) ? Convert.ToDouble(_members[name], CultureInfo.InvariantCulture) : missing;

    public int Int(string name, int missing = 0) => (int)Number(name, missing);

    /// <summary>A number as f32; null is NaN.</summary>
    public float Float(string name) => (float)Number(name, double.NaN);

    /// <summary>A 64-bit integer, which travels as a text.</summary>
    public long Long(string name) =>
        _members[name] is string text ? long.Parse(text, CultureInfo.InvariantCulture) : (long)Number(name);

    public bool Flag(string name) => Has(name) && (bool)_members[name];

    public Order Inner(string name) =>
        new Order(Has(name) ? (Dictionary<string, object>)_members[name] : new Dictionary<string, object>());

    /// <summary>So many floats; null for the whole, or for one of them, is NaN.</summary>
    public float[] Floats(string name, int count)
    {
        var floats = new float[count];
        for (int i = 0; i < count; i++)
        {
            floats[i] = Has(name) && List(name)[i] != null ? (float)Convert.ToDouble(List(name)[i], CultureInfo.InvariantCulture) : float.NaN;
        }
        return floats;
    }

    public List<object> List(string name) => (List<object>)_members[name];
}
