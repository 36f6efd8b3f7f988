"""Words and how many of them are wrong."""
import re
import unicodedata

NUMBERS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve".split(),
    "pt": "zero um dois três quatro cinco seis sete oito nove dez onze doze".split(),
}


def words(text, language):
    """Lower case, without accents and punctuation; numbers up to twelve as words, so that "9" is "nine"."""
    names = NUMBERS[language]
    text = re.sub(r"\d+", lambda m: f" {names[int(m[0])]} " if int(m[0]) < len(names) else f" {m[0]} ", text.lower())
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9' ]", " ", plain).replace("'", "").split()


def error_rate(said, heard, language):
    """Word error rate: edits that turn what was said into what was heard, per word said."""
    said, heard = words(said, language), words(heard, language)
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1] / max(len(said), 1)


if __name__ == "__main__":
    assert words("Das 9h, às 12!", "pt") == ["das", "nove", "h", "as", "doze"]
    assert error_rate("one two three four", "one two three four", "en") == 0
    assert error_rate("one two three four", "one three for", "en") == 0.5
    assert error_rate("one", "", "en") == 1
    assert error_rate("a b", "x y z", "en") == 1.5
