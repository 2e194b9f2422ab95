"""A title that is longer than the model reads is cut as it is pasted, and the page says so."""

from engine.posts import MAX_TITLE

CUT = f"The title was cut to {MAX_TITLE} characters."
# The browser cuts it itself, and tells nobody: what was to be inserted is known only before.
SAY_CUT = f"""() => {{
  const field = document.querySelector('#title');
  const told = document.createElement('p');
  told.className = 'fi-small';
  told.setAttribute('role', 'status');
  field?.append(told);
  field?.addEventListener('beforeinput', (event) => {{
    const area = event.target;
    const text = event.data ?? event.dataTransfer?.getData('text/plain') ?? '';
    const length = area.value.length - (area.selectionEnd - area.selectionStart) + text.length;
    told.textContent = length > {MAX_TITLE} ? '{CUT}' : '';
  }});
}}"""
